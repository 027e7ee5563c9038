package main

// inNodeRole says whether this process is a supervisor inside a tree.
func inNodeRole() bool { return false }

// runNode is the whole life of such a process.
func runNode() int { return 1 }

// runTree runs a tree in the foreground and returns the exit status.
func runTree(*stdio, treeOptions) int { return 1 }
