"""What all of training uses: errors, files, the console, AWS, memory."""
