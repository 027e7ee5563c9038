#!/bin/sh
# worker.sh NAME: a worker in sh, with channel = "lines". It registers NAME, counts, echoes, and asks others.
# It reads what the node writes as the protocol promises it: one object a line, without spaces, params last.
R=${SUPERVISE_CHANNEL%,*} W=${SUPERVISE_CHANNEL#*,}
unset SUPERVISE_CHANNEL
say() { printf '%s\n' "$1" >&"$W"; }
answer() { [ -z "$id" ] || say '{"id":'"$id"',"result":'"$1"'}'; }
refuse() { [ -z "$id" ] || say '{"id":'"$id"',"error":{"code":'"$1"',"message":"'"$2"'","data":{"code":"'"$2"'"}}}'; }
leave() { say '{"method":"$exiting","params":{"reason":"'"$1"'"}}'; exit "$2"; }
trap 'leave shutdown 0' TERM

# The id of a call of ours is that of the call which made us ask, and this: so it says who waits for the answer.
asked=1000000000

# ask passes {"to":…,"method":…,"value":…} on, or null where there is no value.
ask() {
	to=${params#*'"to":"'} to=${to%%'"'*}
	call=${params#*'"method":"'} call=${call%%'"'*}
	value=null
	case $params in *'"value":'*) value=${params#*'"value":'} value=${value%\}} ;; esac
	say "{${1:+\"id\":$1,}"'"method":"'"$call"'","to":"'"$to"'","timeout":5,"params":['"$value"']}'
}

# returned passes the answer to a call of ours on to who asked. The word of an error was about somebody else.
returned() {
	[ "$id" -ge "$asked" ] || return 0
	case $rest in
	'"error":'*) rest='"error":{"code":1,"message":"a call failed","data":{"code":"error","data":'"${rest#'"error":'}}}" ;;
	esac
	say '{"id":'"$((id - asked)),$rest"
}

# add counts, if params is a whole number.
add() {
	case $params in
	'' | *[!0-9]*) refuse 1 not_a_number ;;
	*) total=$((total + params)) && answer "$total" ;;
	esac
}

total=0
read -r line <&"$R"
versions=${line#*'"protocol":['} versions=${versions%%]*}
case ,$versions, in
*,1,*) ;;
*) say '{"method":"$hello","params":{"protocol":0}}' && exit 1 ;;
esac
say '{"method":"$hello","params":{"protocol":1,"client":"sh"}}'
say '{"id":1,"method":"$register","params":{"name":"'"$1"'"}}'
say '{"method":"$ready","params":{"methods":["add","ask","crash","echo","quit","tell","total"]}}'

while read -r line <&"$R"; do
	head=${line%%'"params":'*} head=${head%%'"result":'*} head=${head%%'"error":'*}
	rest=${line#"$head"} params=
	case $rest in '"params":'*) params=${rest#'"params":'} params=${params%\}} ;; esac
	case $params in '['*) params=${params#?} params=${params%?} ;; esac
	id= method=
	case $head in *'"id":'*) id=${head#*'"id":'} id=${id%%[!0-9]*} ;; esac
	case $head in *'"method":"'*) method=${head#*'"method":"'} method=${method%%'"'*} ;; esac
	case $method in
	'') returned ;;
	echo) answer "${params:-null}" ;;
	add) add ;;
	total) answer "$total" ;;
	ask) ask "$((id + asked))" ;;
	tell) ask ;;
	quit) answer '"bye"' && leave normal 0 ;;
	crash) leave abnormal 1 ;;
	'$ping') answer null ;;
	'$stop') break ;;
	*) refuse -32601 no_method ;;
	esac
done
leave shutdown 0
