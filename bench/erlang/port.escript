#!/usr/bin/env escript
%% Measures an Erlang port with {packet,4}: port.escript PROGRAM call|calls|casts|bulk SECONDS
%% PROGRAM is port.c. It prints the µs of a call alone (call), calls a second with 256 outstanding
%% (calls), casts of 64 bytes a second (casts), or bytes a second in casts of 64 KiB (bulk).
-mode(compile).

main([Program, What, Seconds]) ->
    Port = open_port({spawn_executable, Program}, [{packet, 4}, binary, use_stdio, exit_status]),
    Time = round(to_float(Seconds) * 1.0e9),
    io:format("~w~n", [measure(What, Port, Time)]),
    port_close(Port).

to_float(Text) ->
    case string:to_float(Text) of
        {error, _} -> float(list_to_integer(Text));
        {Float, _} -> Float
    end.

small(Kind) -> <<Kind, 0:(63 * 8)>>.

measure("call", Port, Time) ->
    Packet = small($e),
    [ask(Port, Packet) || _ <- lists:seq(1, 1000)],
    Times = lists:sort(each(Port, Packet, now_ns() + Time, [])),
    lists:nth(length(Times) div 2 + 1, Times) / 1.0e3;
measure("calls", Port, Time) ->
    Packet = small($e),
    Begun = now_ns(),
    [port_command(Port, Packet) || _ <- lists:seq(1, 256)],
    N = answers(Port, Packet, Begun + Time, 0),
    N / ((now_ns() - Begun) / 1.0e9);
measure("casts", Port, Time) -> notes(Port, small($n), Time);
measure("bulk", Port, Time) -> notes(Port, <<$n, 0:(65535 * 8)>>, Time) * 65536.

now_ns() -> erlang:monotonic_time(nanosecond).

ask(Port, Packet) ->
    port_command(Port, Packet),
    receive {Port, {data, Data}} -> Data end.

each(Port, Packet, End, Times) ->
    Begun = now_ns(),
    ask(Port, Packet),
    Now = now_ns(),
    if Now < End -> each(Port, Packet, End, [Now - Begun | Times]);
       true -> [Now - Begun | Times]
    end.

%% An answer is followed by the next call, until the time is over.
answers(Port, Packet, End, N) ->
    receive {Port, {data, _}} -> ok end,
    case now_ns() < End of
        true -> port_command(Port, Packet), answers(Port, Packet, End, N + 1);
        false -> drain(Port, 255), N + 256
    end.

drain(_, 0) -> ok;
drain(Port, N) -> receive {Port, {data, _}} -> drain(Port, N - 1) end.

notes(Port, Packet, Time) ->
    Begun = now_ns(),
    send(Port, Packet, Begun + Time),
    Count = binary_to_integer(ask(Port, <<"c">>)),
    Count / ((now_ns() - Begun) / 1.0e9).

send(Port, Packet, End) ->
    [port_command(Port, Packet) || _ <- lists:seq(1, 64)],
    case now_ns() < End of
        true -> send(Port, Packet, End);
        false -> ok
    end.
