"""A model as a service over HTTP, and the page where one drops images.

Read ``service`` (a socket, a model and a server, from start to shutdown), then ``app`` (what is answered at which
address), ``upload`` (a request's body as it arrives, bounded in bytes and in time), ``batching`` (images that wait
together become predictions) and ``answers`` (what is said, as JSON). FastAPI and uvicorn are optional: they are
imported here and nowhere else, and this package is imported where a service starts.
"""
