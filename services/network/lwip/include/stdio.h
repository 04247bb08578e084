// lwIP includes it and needs nothing of it.
