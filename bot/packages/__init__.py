"""What could be deployed: GitHub's packages and their versions, what an image proposes to be, what comes by itself.

`catalogue` reads GitHub in the background, `listing` answers people from it (`versions` sorts and marks). `proposal`
makes a service file of an image, `offers` asks the registry for that, `arrivals` installs what a delivery brought.
"""
