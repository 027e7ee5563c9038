module github.com/supertrees/supervise

go 1.26
