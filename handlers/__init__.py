"""Entry points: how the world reaches the bot. Each one turns a request into one call of `bot.services`."""
