%% sup_bench: an OTP supervisor (one_for_one) of N processes that each own a port program.
-module(sup_bench).
-behaviour(supervisor).
-export([start/1, init/1, start_owner/2]).

start([N, Child]) ->
    Arg = {list_to_integer(atom_to_list(N)), atom_to_list(Child)},
    {ok, Sup} = supervisor:start_link({local, ?MODULE}, ?MODULE, Arg),
    unlink(Sup),
    ok.

init({N, Child}) ->
    Flags = #{strategy => one_for_one, intensity => 1000000000, period => 1},
    {ok, {Flags, [#{id => I, start => {?MODULE, start_owner, [I, Child]}, shutdown => 5000}
                  || I <- lists:seq(0, N - 1)]}}.

start_owner(I, Child) ->
    {ok, proc_lib:spawn_link(fun() -> own(I, Child) end)}.

own(I, Child) ->
    Port = open_port({spawn_executable, Child}, [exit_status, {args, [integer_to_list(I), "stdin"]}]),
    loop(Port).

loop(Port) ->
    receive
        {Port, {exit_status, Status}} -> exit({port_exit, Status});
        {Port, {data, _}} -> loop(Port)
    end.
