"""The Service's verbs by subject. Each takes the User who asks, and finds only what is that user's."""
