"""What is read from the objects of frameworks: of Starlette, and of FastAPI where it is there."""
