%% Runs scenarios on Erlang/OTP's own supervisor and writes their traces.
%%
%% The supervisor is the installed one, compiled anew from the abstract code in
%% its beam file with four calls put in: the clock of the restart window, the
%% time that a child has to stop, and a word to us where it sees a death
%% (handle_info and unlink_flush), so that the stop event is in its place.
%%
%% Everything runs on one scheduler: when this process gets its turn again
%% after yielding, and nothing has moved, nothing is left to do.
-module(otp_runner).
-export([main/1]).
-export([seconds/0, patience/2, dead/2]).              % called by the supervisor
-export([init/1, start/2, start_instance/4, log/2]).   % called for the supervisor

-define(T, otp_runner_table).

%% main([File...]): each file is an Erlang term, the scenario; its trace goes
%% beside it, as FILE.trace.
main(Files) ->
    load_supervisor(),
    ok = logger:remove_handler(default),
    ok = logger:set_primary_config(level, error),
    ok = logger:add_handler(?MODULE, ?MODULE, #{}),
    lists:foreach(fun one/1, Files),
    halt(0).

one(File) ->
    {ok, [Scenario]} = file:consult(File),
    {Pid, Ref} = spawn_monitor(fun() -> exit({trace, run(Scenario)}) end),
    receive
        {'DOWN', Ref, process, Pid, {trace, Trace}} ->
            ok = file:write_file(File ++ ".trace", Trace);
        {'DOWN', Ref, process, Pid, Reason} ->
            ok = file:write_file(File ++ ".trace", io_lib:format("~tp~n", [Reason]))
    end.

%% ---- The installed supervisor, with our calls in it.

load_supervisor() ->
    Beam = code:which(supervisor),
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(Beam, [abstract_code]),
    {ok, supervisor, Binary} = compile:forms([form(F) || F <- Forms], [binary]),
    ok = code:unstick_dir(filename:dirname(Beam)),
    {module, supervisor} = code:load_binary(supervisor, Beam, Binary).

form({function, L, handle_info, 2, [{clause, CL, [{tuple, _, [{atom, _, 'EXIT'}, P, R]}, _] = Args, G, Body} | Cs]}) ->
    {function, L, handle_info, 2, [{clause, CL, Args, G, [ours(CL, dead, [P, R]) | Body]} | Cs]};
form({function, L, unlink_flush, 2, [{clause, CL, [P, _] = Args, G, Body}]}) ->
    %% The reason that unlink_flush finds is the child's; ours is told after.
    Result = {var, CL, 'OurReason'},
    {function, L, unlink_flush, 2,
     [{clause, CL, Args, G, [{match, CL, Result, {block, CL, Body}}, ours(CL, dead, [P, Result]), Result]}]};
form(Form) ->
    expr(Form).

expr({call, L, {remote, _, {atom, _, erlang}, {atom, _, monotonic_time}}, [_]}) ->
    ours(L, seconds, []);
expr({'receive', L, Clauses, Time, After}) when element(1, Time) =:= var ->
    {'receive', L, [expr(C) || C <- Clauses], ours(L, patience, [{var, L, 'Pid'}, Time]), [expr(E) || E <- After]};
expr({call, L, {remote, _, {atom, _, erlang}, {atom, _, start_timer}} = F, [Time | Args]}) ->
    {call, L, F, [ours(L, patience, [{atom, L, undefined}, Time]) | Args]};
expr(T) when is_tuple(T) -> list_to_tuple([expr(E) || E <- tuple_to_list(T)]);
expr([H | T]) -> [expr(H) | expr(T)];
expr(X) -> X.

ours(L, F, Args) -> {call, L, {remote, L, {atom, L, ?MODULE}, {atom, L, F}}, Args}.

%% The virtual clock, in whole seconds.
seconds() -> case ets:whereis(?T) of undefined -> 0; _ -> get_value(clock, 0) div 1000 end.

%% A child that will not stop by itself is not waited for as long as it says;
%% the order among such times is kept. The others have all the time they want.
patience(_, infinity) -> infinity;
patience(Pid, Time) ->
    case ets:lookup(?T, {process, Pid}) of
        [{_, #{kind := worker, on_shutdown := O}}] when O =/= ignore -> 60000;
        _ -> max(Time div 5, 3)
    end.

%% ---- Events: the table holds {{event, N}, Event}, in order.

event(Event) -> ets:insert(?T, {{event, ets:update_counter(?T, events, 1)}, Event}).

get_value(Key, Default) ->
    case ets:lookup(?T, Key) of [{_, V}] -> V; [] -> Default end.

%% A process is up: from now on its path is this pid.
up(Pid, Path, Kind, Behaviour) ->
    Inc = ets:update_counter(?T, {starts, Path}, 1, {{starts, Path}, 0}),
    ets:insert(?T, {{process, Pid}, #{path => Path, kind => Kind, inc => Inc,
                                      on_shutdown => maps:get(on_shutdown, Behaviour, exit)}}),
    ets:insert(?T, {{path, Path}, Pid}),
    ets:insert(?T, {{alive, Pid}}),
    get_value(watcher, none) ! {watch, Pid},
    event({start, Path, Kind, Inc}).

%% A process is seen to be dead, by whoever sees it first.
dead(Pid, Reason) ->
    case ets:whereis(?T) =/= undefined andalso ets:take(?T, {alive, Pid}) of
        [_] ->
            [{_, #{path := Path, kind := Kind, inc := Inc}}] = ets:lookup(?T, {process, Pid}),
            event({stop, Path, Kind, Inc, class(Reason)});
        _ -> ok
    end.

class(normal) -> normal;
class(shutdown) -> shutdown;
class({shutdown, _}) -> shutdown;
class(killed) -> killed;
class(_) -> abnormal.

%% The watcher sees the deaths that nobody else does.
watcher() ->
    receive
        {watch, Pid} -> erlang:monitor(process, Pid), watcher();
        {'DOWN', _, process, Pid, Reason} -> ets:insert(?T, {{down, Pid}, Reason}), watcher()
    end.

log(#{msg := {report, #{label := {supervisor, _}, report := R}}, meta := #{pid := Sup}}, _) ->
    case ets:whereis(?T) =/= undefined andalso ets:lookup(?T, {init, Sup}) of
        [{_, Path}] ->
            [_, {errorContext, Context}, {reason, Reason}, {offender, Offender}] = R,
            event({report, Path, Context, offender(Offender), reason(Context, Reason), count(Offender)});
        _ -> ok
    end;
log(_, _) -> ok.

count(Offender) -> proplists:get_value(nb_children, Offender, none).

%% An instance is known by its label.
offender(Offender) ->
    Pid = case proplists:get_value(pid, Offender) of {restarting, P} -> P; P -> P end,
    case is_pid(Pid) andalso ets:lookup(?T, {process, Pid}) of
        [{_, #{path := Path}}] -> lists:last(binary:split(Path, <<"/">>, [global]));
        _ -> proplists:get_value(id, Offender)
    end.

reason(start_error, R) -> error_text(R);
reason(shutdown, R) -> atom_to_binary(R);
reason(_, R) -> atom_to_binary(class(R)).

%% ---- Children.

init({Path, Spec}) ->
    ets:insert(?T, {{init, self()}, Path}),
    ets:insert(?T, {{strategy, Path}, maps:get(<<"strategy">>, Spec, none)}),
    {ok, flags_and_children(Path, get_value({spec, Path}, Spec))}.

%% Called in the supervisor, to start the child of this spec.
start(Path, Spec) -> start_as(Path, Spec, outcome(Path, Spec)).

start_instance(Sup, Template, Label, Override) ->
    start(<<Sup/binary, "/", Label/binary>>, maps:merge(Template, Override)).

outcome(Path, Spec) ->
    N = ets:update_counter(?T, {attempts, Path}, 1, {{attempts, Path}, 0}),
    Starts = case maps:get(<<"starts">>, Spec, []) of [] -> [<<"ok">>]; S -> S end,
    lists:nth(min(N, length(Starts)), Starts).

start_as(Path, Spec, <<"gate_", Outcome/binary>>) ->
    Ref = make_ref(),
    ets:insert(?T, {{gate, Path}, {self(), Ref}}),
    event({gate, Path}),
    receive Ref -> ok end,
    start_as(Path, Spec, Outcome);
start_as(Path, Spec, <<"error">>) ->
    event({start_error, Path, kind(Spec), <<"start_error">>}),
    {error, start_error};
start_as(Path, Spec, <<"ignore">>) ->
    event({ignore, Path, kind(Spec)}),
    ignore;
start_as(Path, Spec, <<"ok">>) ->
    case kind(Spec) of
        supervisor ->
            case supervisor:start_link(?MODULE, {Path, Spec}) of
                {ok, Pid} -> up(Pid, Path, supervisor, #{}), {ok, Pid};
                {error, Reason} = Error ->
                    event({start_error, Path, supervisor, error_text(Reason)}), Error
            end;
        worker ->
            On = binary_to_atom(maps:get(<<"on_shutdown">>, Spec, <<"exit">>)),
            Parent = self(),
            Pid = spawn_link(fun() -> process_flag(trap_exit, true), Parent ! {self(), up}, worker(Parent, On) end),
            receive {Pid, up} -> ok end,
            up(Pid, Path, worker, #{on_shutdown => On}),
            {ok, Pid}
    end.

kind(#{<<"type">> := <<"supervisor">>}) -> supervisor;
kind(_) -> worker.

worker(Parent, On) ->
    receive
        {'EXIT', Parent, shutdown} when On =:= exit -> exit(shutdown);
        {'EXIT', Parent, shutdown} when On =:= abnormal -> exit(bad_end);
        {'EXIT', Parent, shutdown} -> worker(Parent, On);
        {'EXIT', Parent, Reason} -> exit(Reason);
        {end_by, Reason} -> exit(Reason);
        _ -> worker(Parent, On)
    end.

flags_and_children(Path, Spec) ->
    Flags = maps:from_list([{binary_to_atom(K), atom(maps:get(K, Spec))}
                            || K <- [<<"strategy">>, <<"intensity">>, <<"period">>, <<"auto_shutdown">>],
                               maps:is_key(K, Spec)]),
    Simple = maps:get(<<"strategy">>, Spec, none) =:= <<"simple_one_for_one">>,
    {Flags, [child_spec(Path, C, Simple) || C <- maps:get(<<"children">>, Spec, [])]}.

child_spec(Sup, Spec, Simple) ->
    Id = maps:get(<<"id">>, Spec, <<>>),
    Start = case Simple of
                true -> {?MODULE, start_instance, [Sup, Spec]};
                false -> {?MODULE, start, [<<Sup/binary, "/", Id/binary>>, Spec]}
            end,
    Fields = [{id, Id} || maps:is_key(<<"id">>, Spec)] ++
        [{start, Start} || not maps:get(<<"no_start">>, Spec, false)] ++
        [{binary_to_atom(K), atom(maps:get(K, Spec))}
         || K <- [<<"restart">>, <<"significant">>, <<"type">>, <<"shutdown">>], maps:is_key(K, Spec)],
    maps:from_list(Fields).

atom(B) when is_binary(B) -> binary_to_atom(B);
atom(X) -> X.

%% ---- The runner.

run(#{<<"root">> := Root, <<"steps">> := Steps}) ->
    process_flag(trap_exit, true),
    ?T = ets:new(?T, [named_table, public, ordered_set]),
    ets:insert(?T, [{events, 0}, {clock, 1000000000}, {watcher, spawn_link(fun watcher/0)}]),
    Started = start_root(Root),
    Numbered = lists:zip(lists:seq(1, length(Steps)), Steps),
    {Out, Pending} = lists:foldl(fun step/2, {Started, []}, Numbered),
    Final = final(length(Steps) + 1),
    {Stop, Left} = stop(length(Steps) + 2, Pending),
    Alive = lists:sort([maps:get(path, process(P)) || [P] <- ets:match(?T, {{alive, '$1'}})]),
    End = [{<<"alive">>, Alive}] ++ [{<<"pending">>, [Tag || {Tag, _, _} <- Left]} || Left =/= []],
    iolist_to_binary([Out, Final, Stop, line([{<<"ev">>, <<"end">>} | End])]).

process(Pid) -> [{_, P}] = ets:lookup(?T, {process, Pid}), P.

start_root(Root) ->
    Result = case supervisor:start_link(?MODULE, {<<"root">>, Root}) of
                 {ok, Pid} -> up(Pid, <<"root">>, supervisor, #{}), <<"ok">>;
                 {error, Reason} ->
                     Text = error_text(Reason),
                     event({start_error, <<"root">>, supervisor, Text}),
                     <<"error:", Text/binary>>
             end,
    [step_line(0, <<"start">>), settled(false), result(0, Result)].

step({N, #{<<"op">> := Op} = Step}, {Out, Pending}) ->
    {Asked, New} = issue(Op, Step),
    Events = settled(maps:get(<<"unordered">>, Step, false)),
    Result = case Asked of
                 none -> [];
                 {value, V} -> result(N, V);
                 {request, Call, Id} ->
                     case answer(Call, Id) of none -> []; {ok, V} -> result(N, V) end
             end,
    {Async, Left} = answers(Pending ++ New),
    {[Out, step_line(N, Op), Events, Result, Async], Left}.

issue(<<"exit">>, #{<<"child">> := Path, <<"how">> := How}) ->
    case alive(Path) of
        undefined -> {{value, <<"not_running">>}, []};
        Pid ->
            Ref = erlang:monitor(process, Pid),
            case How of
                <<"kill">> -> exit(Pid, kill);
                <<"normal">> -> Pid ! {end_by, normal};
                <<"shutdown">> -> Pid ! {end_by, shutdown};
                <<"shutdown_term">> -> Pid ! {end_by, {shutdown, term}};
                <<"abnormal">> -> Pid ! {end_by, crash}
            end,
            receive {'DOWN', Ref, process, Pid, Reason} -> dead(Pid, Reason) end,
            {{value, <<"ok">>}, []}
    end;
issue(<<"release">>, #{<<"child">> := Path}) ->
    case ets:take(?T, {gate, Path}) of
        [{_, {Pid, Ref}}] -> Pid ! Ref, {{value, <<"ok">>}, []};
        [] -> {{value, <<"not_running">>}, []}
    end;
issue(<<"advance">>, #{<<"ms">> := Ms}) ->
    ets:update_counter(?T, clock, Ms), {none, []};
issue(<<"suspend">>, #{<<"sup">> := Path}) ->
    [sys:suspend(P) || P <- [alive(Path)], is_pid(P)], {none, []};
issue(<<"resume">>, #{<<"sup">> := Path}) ->
    [sys:resume(P) || P <- [alive(Path)], is_pid(P)], {none, []};
issue(<<"async_stop">>, _) ->
    [exit(P, shutdown) || P <- [alive(<<"root">>)], is_pid(P)], {none, []};
issue(<<"change_spec">>, #{<<"sup">> := Path, <<"spec">> := Spec}) ->
    {{value, change(alive(Path), Path, Spec)}, []};
issue(<<"check_childspecs">>, #{<<"children">> := Children} = Step) ->
    Specs = [child_spec(<<"root">>, C, false) || C <- Children],
    Result = case Step of
                 #{<<"auto_shutdown">> := A} -> supervisor:check_childspecs(Specs, atom(A));
                 _ -> supervisor:check_childspecs(Specs)
             end,
    {{value, case Result of
                 ok -> <<"ok">>;
                 {error, {badarg, _}} -> <<"error:badarg">>;
                 {error, E} -> error_value(spec_text(E))
             end}, []};
issue(<<"async">>, #{<<"tag">> := Tag, <<"call">> := Call}) ->
    {none, [{Tag, Call, request(Call)}]};
issue(_, Call) ->
    {{request, Call, request(Call)}, []}.

alive(Path) ->
    Pid = get_value({path, Path}, undefined),
    case ets:member(?T, {alive, Pid}) andalso is_process_alive(Pid) of true -> Pid; false -> undefined end.

change(undefined, _, _) -> <<"exit:noproc">>;
change(Pid, Path, Spec) ->
    Old = ets:lookup(?T, {spec, Path}),
    ets:insert(?T, {{spec, Path}, Spec}),
    ok = sys:suspend(Pid),
    Result = sys:change_code(Pid, supervisor, undefined, none),
    ok = sys:resume(Pid),
    case Result of
        ok -> <<"ok">>;
        {error, Reason} ->
            ets:delete(?T, {spec, Path}), ets:insert(?T, Old),
            case Reason of
                {error, {ok, _}} -> <<"error:bad_simple_update">>;
                {error, E} -> error_value(spec_text(E));
                E -> error_value(spec_text(E))
            end
    end.

%% A request is in the supervisor's queue when this returns.
request(#{<<"op">> := Op, <<"sup">> := Sup} = Call) ->
    case alive(Sup) of
        undefined -> noproc;
        Pid -> gen_server:send_request(Pid, message(Op, Sup, Call))
    end.

message(<<"start_child">>, _, #{<<"label">> := Label} = Call) ->
    {start_child, [Label, maps:get(<<"behaviour">>, Call, #{})]};
message(<<"start_child">>, Sup, #{<<"child">> := Child}) ->
    {start_child, child_spec(Sup, Child, false)};
message(<<"which_children">>, _, _) -> which_children;
message(<<"count_children">>, _, _) -> count_children;
message(Op, Sup, #{<<"child">> := Id}) ->
    Newest = get_value({path, <<Sup/binary, "/", Id/binary>>}, none),
    Simple = get_value({strategy, Sup}, none) =:= <<"simple_one_for_one">>,
    {binary_to_atom(Op), if Simple, is_pid(Newest) -> Newest; true -> Id end}.

answer(_, noproc) -> {ok, <<"exit:noproc">>};
answer(Call, Id) ->
    case gen_server:wait_response(Id, 0) of
        timeout -> none;
        {reply, Reply} -> {ok, value(Call, Reply)};
        {error, {Reason, _}} -> {ok, iolist_to_binary(["exit:", exit_text(Reason)])}
    end.

exit_text(noproc) -> "noproc";
exit_text(Reason) -> atom_to_list(class(Reason)).

answers(Pending) ->
    lists:foldl(fun({Tag, Call, Id} = P, {Out, Left}) ->
                        case answer(Call, Id) of
                            none -> {Out, Left ++ [P]};
                            {ok, V} ->
                                L = line([{<<"ev">>, <<"async_result">>}, {<<"tag">>, Tag}, {<<"value">>, V}]),
                                {[Out, L], Left}
                        end
                end, {[], []}, Pending).

%% ---- Quiescence: every process waits, and twice in a row nothing moved.

settled(Unordered) ->
    quiet(none, erlang:monotonic_time(millisecond) + 20000),
    Events = [E || [_, E] <- ets:match(?T, {{event, '$1'}, '$2'})],
    ets:match_delete(?T, {{event, '_'}, '_'}),
    normal_form(Events, Unordered).

quiet(Before, Limit) ->
    erlang:yield(),
    case {snapshot(), erlang:monotonic_time(millisecond) > Limit} of
        {_, true} -> exit(never_quiet);
        {{busy, _}, _} -> receive after 1 -> ok end, quiet(none, Limit);
        {Before, _} -> case buried() of 0 -> ok; _ -> quiet(none, Limit) end;
        {Now, _} -> quiet(Now, Limit)
    end.

snapshot() ->
    Pids = [P || [P] <- ets:match(?T, {{alive, '$1'}})] ++ [P || [P] <- ets:match(?T, {{init, '$1'}, '_'})]
        ++ [get_value(watcher, none)],
    All = [{P, process_info(P, [status, message_queue_len, current_stacktrace])} || P <- lists:usort(Pids)],
    Busy = lists:any(fun({_, undefined}) -> false;
                        ({_, [{status, S}, _, {current_stacktrace, Stack}]}) -> S =/= waiting orelse stopping(Stack)
                     end, All),
    Rest = [{P, case I of undefined -> dead; _ -> lists:sublist(I, 2) end} || {P, I} <- All],
    case Busy of true -> {busy, Rest}; false -> {idle, Rest, get_value(events, 0)} end.

%% A supervisor that stops a child will go on; one that is stopping is not at rest.
stopping(Stack) ->
    lists:any(fun({supervisor, F, _, _}) -> F =:= shutdown orelse F =:= wait_dynamic_children; (_) -> false end, Stack).

%% Deaths that no supervisor saw.
buried() ->
    Unseen = [{P, R} || [P] <- ets:match(?T, {{alive, '$1'}}), {_, R} <- ets:lookup(?T, {down, P})],
    [dead(P, R) || {P, R} <- Unseen],
    length(Unseen).

final(N) ->
    Sups = lists:sort([{Path, P} || [P, Path] <- ets:match(?T, {{init, '$1'}, '$2'}),
                                    alive(Path) =:= P, not suspended(P)]),
    [step_line(N, <<"final">>), [ask(Path) || {Path, _} <- Sups]].

ask(Sup) ->
    Call = fun(Op) -> #{<<"op">> => Op, <<"sup">> => Sup} end,
    [case ask_now(Call(Op)) of
         {ok, V} -> line([{<<"ev">>, Op}, {<<"sup">>, Sup}, {Key, V}]);
         none -> []
     end || {Op, Key} <- [{<<"which_children">>, <<"children">>}, {<<"count_children">>, <<"counts">>}]].

ask_now(Call) ->
    Id = request(Call),
    _ = settled(false),
    answer(Call, Id).

suspended(Pid) ->
    {current_stacktrace, Stack} = process_info(Pid, current_stacktrace),
    lists:any(fun({sys, F, _, _}) -> F =:= suspend_loop orelse F =:= suspend_loop_hib; (_) -> false end, Stack).

stop(N, Pending) ->
    case alive(<<"root">>) of
        undefined -> {[], Pending};
        Root ->
            Sups = lists:sort([{Path, P} || [P, Path] <- ets:match(?T, {{init, '$1'}, '$2'}), alive(Path) =:= P, suspended(P)]),
            [begin sys:resume(P), quiet(none, erlang:monotonic_time(millisecond) + 20000) end || {_, P} <- Sups],
            exit(Root, shutdown),
            Events = settled(false),
            {Async, Left} = answers(Pending),
            {[step_line(N, <<"stop">>), Events, result(N, <<"ok">>), Async], Left}
    end.

%% ---- Words.

error_value(Text) -> iolist_to_binary(["error:", Text]).

error_text({shutdown, {failed_to_start_child, Id, R}}) ->
    iolist_to_binary(["failed_to_start_child:", Id, ":", error_text(R)]);
error_text({start_spec, E}) -> iolist_to_binary(["start_spec:", spec_text(E)]);
error_text({supervisor_data, E}) -> iolist_to_binary(["supervisor_data:", spec_text(E)]);
error_text({bad_start_spec, _}) -> <<"bad_start_spec">>;
error_text(R) when is_atom(R) -> atom_to_binary(R);
error_text(R) -> iolist_to_binary(io_lib:format("~0tp", [R])).

spec_text({duplicate_child_name, Id}) -> ["duplicate_child_name:", Id];
spec_text({bad_combination, L}) -> ["bad_combination:", lists:join(",", [atom_to_list(K) || {K, _} <- L])];
spec_text(E) when is_tuple(E) -> atom_to_list(element(1, E));
spec_text(E) -> atom_to_list(E).

value(#{<<"op">> := <<"which_children">>, <<"sup">> := Sup}, Children) ->
    case get_value({strategy, Sup}, none) of
        <<"simple_one_for_one">> ->
            {Restarting, Others} = lists:partition(fun({_, P, _, _}) -> P =:= restarting end, Children),
            [[null, <<"restarting">>, 0, atom_to_binary(T)] || {_, _, T, _} <- Restarting] ++
                lists:sort([[label(P), <<"running">>, maps:get(inc, process(P)), atom_to_binary(T)] || {_, P, T, _} <- Others]);
        _ ->
            [[Id | case P of
                       P when is_pid(P) -> [<<"running">>, maps:get(inc, process(P))];
                       _ -> [atom_to_binary(P), 0]
                   end] ++ [atom_to_binary(T)] || {Id, P, T, _} <- Children]
    end;
value(#{<<"op">> := <<"count_children">>}, Counts) ->
    {object, [{atom_to_binary(K), V} || {K, V} <- Counts]};
value(#{<<"op">> := <<"get_childspec">>}, {ok, Spec}) ->
    #{id := Id, restart := R, shutdown := S, type := T, significant := Sig} = Spec,
    {object, [{<<"id">>, Id}, {<<"restart">>, atom_to_binary(R)}, {<<"shutdown">>, S},
              {<<"type">>, atom_to_binary(T)}, {<<"significant">>, Sig}]};
value(_, ok) -> <<"ok">>;
value(_, {ok, undefined}) -> <<"ok:undefined">>;
value(_, {ok, Pid}) ->
    #{path := Path, inc := Inc} = process(Pid),
    iolist_to_binary(["ok:", Path, "#", integer_to_list(Inc)]);
value(_, {error, {already_started, _}}) -> <<"error:already_started">>;
value(#{<<"op">> := <<"start_child">>}, {error, {R, Child}}) when element(1, Child) =:= child -> error_value(error_text(R));
value(#{<<"op">> := <<"start_child">>}, {error, R}) when is_tuple(R) ->
    error_value(try spec_text(R) catch _:_ -> error_text(R) end);
value(#{<<"op">> := <<"restart_child">>}, {error, R}) -> error_value(error_text(R));
value(_, {error, R}) when is_atom(R) -> error_value(atom_to_binary(R)).

label(Pid) -> lists:last(binary:split(maps:get(path, process(Pid)), <<"/">>, [global])).

%% ---- Trace lines.

step_line(N, Op) -> line([{<<"ev">>, <<"step">>}, {<<"n">>, N}, {<<"op">>, Op}]).
result(N, V) -> line([{<<"ev">>, <<"result">>}, {<<"n">>, N}, {<<"value">>, V}]).

normal_form(Events, true) -> lists:sort([event_line(E) || E <- Events]);
normal_form(Events, false) -> runs([{group(E), event_line(E)} || E <- Events]).

runs([]) -> [];
runs([{none, L} | Rest]) -> [L | runs(Rest)];
runs([{G, _} | _] = All) ->
    {Run, Rest} = lists:splitwith(fun({H, _}) -> H =:= G end, All),
    lists:sort([L || {_, L} <- Run]) ++ runs(Rest).

group({stop, Path, _, _, _}) ->
    case string:split(Path, "/", trailing) of
        [Sup, _] -> simple(stop, Sup);
        _ -> none
    end;
group({report, Sup, shutdown_error, _, _, _}) -> simple(report, Sup);
group(_) -> none.

simple(What, Sup) ->
    case get_value({strategy, Sup}, none) of <<"simple_one_for_one">> -> {What, Sup}; _ -> none end.

event_line({start, Path, Kind, Inc}) -> process_line(<<"start">>, Path, Kind, [{<<"inc">>, Inc}]);
event_line({stop, Path, Kind, Inc, Class}) ->
    process_line(<<"stop">>, Path, Kind, [{<<"inc">>, Inc}, {<<"reason">>, atom_to_binary(Class)}]);
event_line({ignore, Path, Kind}) -> process_line(<<"ignore">>, Path, Kind, []);
event_line({start_error, Path, Kind, R}) -> process_line(<<"start_error">>, Path, Kind, [{<<"reason">>, R}]);
event_line({gate, Path}) -> line([{<<"ev">>, <<"gate">>}, {<<"id">>, Path}]);
event_line({report, Sup, Context, Child, Reason, Count}) ->
    line([{<<"ev">>, <<"report">>}, {<<"sup">>, Sup}, {<<"context">>, atom_to_binary(Context)}, {<<"child">>, Child}]
         ++ [{<<"count">>, Count} || Count =/= none] ++ [{<<"reason">>, Reason}]).

process_line(Ev, Path, Kind, Rest) ->
    line([{<<"ev">>, Ev}, {<<"id">>, Path}, {<<"kind">>, atom_to_binary(Kind)} | Rest]).

line(Fields) -> iolist_to_binary([json({object, Fields}), $\n]).

json({object, Fields}) -> [${, lists:join($,, [[json(K), $:, json(V)] || {K, V} <- Fields]), $}];
json(L) when is_list(L) -> [$[, lists:join($,, [json(X) || X <- L]), $]];
json(N) when is_integer(N) -> integer_to_list(N);
json(A) when is_atom(A), A =/= infinity, A =/= brutal_kill -> atom_to_list(A);
json(A) when is_atom(A) -> [$", atom_to_list(A), $"];
json(B) -> [$", B, $"].
