package main

import "time"

// retry is how long the producer waits for a consumer's next life.
const retry = 10 * time.Millisecond
