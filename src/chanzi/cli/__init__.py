"""The command line: `app` holds the table of commands; a command's file is imported when it is called."""
