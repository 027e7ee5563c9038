#!/bin/sh
# counter: a worker in sh, with channel = "lines". It adds up what it is given.
R=${SUPERVISE_CHANNEL%,*} W=${SUPERVISE_CHANNEL#*,}
unset SUPERVISE_CHANNEL
say() { printf '%s\n' "$1" >&"$W"; }

total=0
read -r line <&"$R"
versions=${line#*'"protocol":['} versions=${versions%%]*}
case ,$versions, in
*,1,*) ;;
*) say '{"method":"$hello","params":{"protocol":0}}' && exit 1 ;;
esac
say '{"method":"$hello","params":{"protocol":1,"client":"sh"}}'
say '{"id":1,"method":"$register","params":{"name":"counter"}}'
say '{"method":"$ready","params":{"methods":["add","total"]}}'

while read -r line <&"$R"; do
	id= method= head=${line%%'"params":'*} # a $cancel has the id of a call in its params
	case $head in *'"id":'*) id=${head#*'"id":'} id=${id%%[!0-9]*} ;; esac
	case $head in *'"method":"'*) method=${head#*'"method":"'} method=${method%%'"'*} ;; esac
	case $method in
	'$stop') break ;;
	add)
		n=${line#*'"params":['} n=${n%%[!0-9]*}
		total=$((total + ${n:-0}))
		;;
	total) ;;
	*) # not a method of ours; or, with none, the answer to our $register
		[ -z "$method" ] || [ -z "$id" ] || say '{"id":'"$id"',"error":{"code":-32601,"message":"no method"}}'
		continue
		;;
	esac
	[ -z "$id" ] || say '{"id":'"$id"',"result":'"$total"'}'
done
say '{"method":"$exiting","params":{"reason":"shutdown"}}'
