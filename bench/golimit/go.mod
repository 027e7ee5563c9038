module github.com/supertrees/supervise/bench/golimit

go 1.26.0
