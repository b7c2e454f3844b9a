"""Questions and messages.

``asking`` and ``reviews`` build what a step asks, ``receiving`` waits for messages, ``inbox`` holds what has come,
``parking`` lets a waiting branch stand aside. It may import ``loop`` and ``bus``.
"""
