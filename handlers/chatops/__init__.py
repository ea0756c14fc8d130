"""o8 in words: what people type in chat, understood, checked, carried out and answered. Knows no Slack.

    text ──> grammar ──> verbs (registry) ──> desk: may they? written down, run ──> Reply

To add a command: one function in the module of its subject in `verbs/`; its docstring is its help.
"""
