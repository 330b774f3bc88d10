"""What others reach over HTTP. It knows no command line."""
