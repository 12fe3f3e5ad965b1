%% Runs supervision scenarios on the real supervisor of Erlang/OTP and prints what happened, one line of JSON each.
%%
%% Needs nothing but `erl`. Reads one term a line from standard input, `{Key, Tree, Script}.`; scenarios run side by
%% side. A child is a process that does as it is told; the events are its starts and stops, the supervisor's reports
%% (from the logger), the ends of supervisors (from monitors), and the answers to requests.
-module(record_otp).
-behaviour(supervisor).
-export([main/0, init/1, log/2, start_sup/3, start_child/2, child_init/4]).

main() ->
    ets:new(where, [named_table, public, set]),
    ok = logger:remove_handler(default),
    ok = logger:set_primary_config(level, info),
    ok = logger:add_handler(record, ?MODULE, #{}),
    io:setopts([{encoding, utf8}]),
    say([{<<"otp">>, list_to_binary(erlang:system_info(otp_release))},
         {<<"erts">>, list_to_binary(erlang:system_info(version))}]),
    serve(0).

serve(Running) ->
    case io:get_line("") of
        eof -> drain(Running), halt(0);
        Line ->
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, {Key, Tree, Script}} = erl_parse:parse_term(Tokens),
            Main = self(),
            spawn(fun() -> run(Key, Tree, Script), Main ! done end),
            serve(Running + 1)
    end.

drain(0) -> ok;
drain(N) -> receive done -> drain(N - 1) end.

run(Key, Tree, Script) ->
    process_flag(trap_exit, true),
    Col = spawn_link(fun() -> collect([]) end),
    case start_sup(Col, <<"root">>, Tree) of
        {ok, Root} ->
            put(root, Root),
            settle(Col),
            emit(Col, [<<"boot">>, <<"ok">>]),
            lists:foreach(fun(Step) -> step(Col, Step) end, Script),
            stop(Col, Root);
        {error, Reason} ->
            settle(Col),
            emit(Col, [<<"boot">>, reason(Reason)])
    end,
    say([{<<"key">>, Key}, {<<"events">>, events(Col)}]).

stop(Col, Root) ->
    case is_process_alive(Root) of
        true ->
            Mon = monitor(process, Root),
            exit(Root, shutdown),
            receive {'DOWN', Mon, _, _, _} -> ok end,
            settle(Col);
        false -> ok
    end.

%% The steps of a script.

step(_Col, {wait, Ms}) -> timer:sleep(Ms);
step(Col, {exit, Id, Reason}) -> die(Col, Id, Reason), settle(Col);
step(Col, {queued, Sup, Steps}) ->
    case pid_of(Col, Sup) of
        undefined -> emit(Col, [<<"reply">>, <<"queued">>, Sup, <<"noproc">>]);
        Pid ->
            ok = sys:suspend(Pid),
            Pending = [queue(Col, Pid, S) || S <- Steps],
            catch sys:resume(Pid),
            Answers = [answer(P) || P <- Pending, P =/= none],
            settle(Col),
            [emit(Col, A) || A <- Answers]
    end;
step(Col, {parent_exit, Reason}) ->
    Mon = monitor(process, get(root)),
    exit(get(root), Reason),
    receive {'DOWN', Mon, _, _, _} -> ok end,
    settle(Col);
step(Col, {stray, Sup}) ->
    Pid = pid_of(Col, Sup),
    Pid ! hello,
    spawn(fun() -> exit(Pid, boom) end),
    settle(Col);
step(Col, Step) ->
    Sup = element(2, Step),
    case pid_of(Col, Sup) of
        undefined -> emit(Col, [<<"reply">>, element(1, Step), Sup, <<"noproc">>]);
        Pid ->
            Answer = answer(queue(Col, Pid, Step)),
            settle(Col),
            emit(Col, Answer)
    end.

%% What other supervisors make of a death is over before this one goes on: else the two would race.
queue(Col, _Pid, {exit, Id, Reason}) -> die(Col, Id, Reason), settle(Col), none;
queue(Col, Pid, Step) -> {Step, Pid, gen_server:send_request(Pid, request(Col, Step))}.

request(_, {which, _}) -> which_children;
request(_, {count, _}) -> count_children;
request(_, {terminate, _, Id}) -> {terminate_child, Id};
request(_, {restart, _, Id}) -> {restart_child, Id};
request(_, {delete, _, Id}) -> {delete_child, Id};
request(Col, {start, _, Child}) -> {start_child, spec(Col, Child)}.

answer({Step, _Pid, Request}) ->
    Text = case gen_server:receive_response(Request, infinity) of
        {reply, Reply} -> reply(element(1, Step), Reply);
        {error, _} -> <<"gone">>
    end,
    Who = case Step of
        {start, _, Child} -> maps:get(id, Child);
        {_, _, Id} -> Id;
        {_, Sup} -> Sup
    end,
    [<<"reply">>, element(1, Step), Who, Text].

reply(which, Children) -> [[Id, presence(P)] || {Id, P, _, _} <- Children];
reply(count, Counts) -> [N || {_, N} <- Counts];
reply(_, ok) -> <<"ok">>;
reply(_, {ok, undefined}) -> <<"ignored">>;
reply(_, {ok, Pid}) when is_pid(Pid) -> <<"ok">>;
reply(_, {error, {already_started, _}}) -> <<"already_started">>;
reply(_, {error, Known}) when Known =:= already_present; Known =:= running; Known =:= restarting;
                              Known =:= not_found -> Known;
reply(_, {error, {invalid_significant, _}}) -> <<"bad_spec">>;
reply(_, {error, {bad_combination, _}}) -> <<"bad_spec">>;
reply(_, {error, _}) -> <<"start_failed">>.

presence(restarting) -> <<"restarting">>;
presence(undefined) -> <<"stopped">>;
presence(P) when is_pid(P) -> <<"running">>.

die(Col, Id, Reason) ->
    case pid_of(Col, Id) of
        undefined -> ok;
        Pid ->
            Mon = monitor(process, Pid),
            case Reason of
                kill -> exit(Pid, kill);
                _ -> Pid ! {die, Reason}
            end,
            receive {'DOWN', Mon, _, _, _} -> ok end
    end.

pid_of(Col, Id) ->
    case ets:lookup(where, {pid, Col, Id}) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> undefined end;
        [] -> undefined
    end.

%% Quiet is when several rounds through every supervisor have brought nothing new.

settle(Col) -> settle(Col, length(events(Col)), 8).

settle(_, _, 0) -> ok;
settle(Col, Seen, Rounds) ->
    Sups = [P || [P] <- ets:match(where, {{sup, '$1'}, Col, '_'}), is_process_alive(P)],
    [catch sys:get_state(P, infinity) || P <- Sups],
    erlang:yield(),
    case length(events(Col)) of
        Seen -> settle(Col, Seen, Rounds - 1);
        More -> settle(Col, More, 8)
    end.

%% The tree.

start_sup(Col, Id, Tree) ->
    supervisor:start_link(?MODULE, {Col, Id, Tree}).

init({Col, Id, #{flags := Flags, children := Children}}) ->
    ets:insert(where, {{sup, self()}, Col, Id}),
    ets:insert(where, {{pid, Col, Id}, self()}),
    Col ! {monitor, self(), Id, self()},
    receive monitored -> ok end,
    {ok, {Flags, [spec(Col, Child) || Child <- Children]}}.

spec(Col, #{id := Id, tree := Tree} = Child) ->
    (maps:with([restart, shutdown, significant], Child))#{
        id => Id, type => supervisor, start => {?MODULE, start_sup, [Col, Id, Tree]}};
spec(Col, #{id := Id} = Child) ->
    (maps:with([restart, shutdown, significant], Child))#{id => Id, start => {?MODULE, start_child, [Col, Child]}}.

start_child(Col, #{id := Id, behaviour := Behaviour, starts := Starts}) ->
    N = ets:update_counter(where, {n, Col, Id}, 1, {{n, Col, Id}, 0}),
    Outcome = case N =< length(Starts) of true -> lists:nth(N, Starts); false -> ok end,
    emit(Col, [<<"start">>, Id, N, Outcome]),
    case Outcome of
        ok -> proc_lib:start_link(?MODULE, child_init, [Col, Id, N, Behaviour]);
        ignore -> ignore;
        error -> {error, boom};
        crash -> exit(boom)
    end.

child_init(Col, Id, N, Behaviour) ->
    process_flag(trap_exit, Behaviour =/= plain),
    ets:insert(where, {{pid, Col, Id}, self()}),
    proc_lib:init_ack({ok, self()}),
    child(Col, Id, N, Behaviour).

child(Col, Id, N, Behaviour) ->
    receive
        {die, Reason} -> exit(Reason);
        {'EXIT', _, Reason} ->
            emit(Col, [<<"stop">>, Id, N, reason(Reason)]),
            case Behaviour of
                trap -> exit(Reason);
                stubborn -> child(Col, Id, N, Behaviour);
                {linger, Ms} -> timer:sleep(Ms), exit(Reason);
                {reason, Other} -> exit(Other)
            end
    end.

%% The events.

collect(Events) ->
    receive
        {event, Event} -> collect([Event | Events]);
        {monitor, Pid, Id, From} ->
            put(erlang:monitor(process, Pid), Id),
            From ! monitored,
            collect(Events);
        {'DOWN', Ref, process, _, Reason} -> collect([[<<"down">>, erase(Ref), reason(Reason)] | Events]);
        {get, From} -> From ! {events, lists:reverse(Events)}, collect(Events)
    end.

events(Col) ->
    Col ! {get, self()},
    receive {events, Events} -> Events end.

emit(Col, Event) -> Col ! {event, Event}, ok.

log(#{msg := {report, #{label := {supervisor, Context}, report := Report}}}, _) ->
    case proplists:get_value(supervisor, Report) of
        {Pid, ?MODULE} -> log(Context, Report, ets:lookup(where, {sup, Pid}));
        _ -> ok
    end;
log(_, _) -> ok.

log(progress, Report, [{_, Col, Sup}]) ->
    emit(Col, [<<"progress">>, Sup, proplists:get_value(id, proplists:get_value(started, Report))]);
log(Context, Report, [{_, Col, Sup}]) ->
    Offender = proplists:get_value(offender, Report),
    emit(Col, [<<"report">>, Sup, Context, reason(proplists:get_value(reason, Report)),
               proplists:get_value(id, Offender)]);
log(_, _, []) -> ok.

reason({shutdown, {failed_to_start_child, Id, Reason}}) ->
    iolist_to_binary([<<"shutdown(failed_to_start_child(">>, Id, <<", ">>, reason(Reason), <<"))">>]);
reason({failed_to_start_child, Id, Reason}) ->
    iolist_to_binary([<<"failed_to_start_child(">>, Id, <<", ">>, reason(Reason), <<")">>]);
reason({shutdown, Term}) -> iolist_to_binary(io_lib:format("shutdown(~s)", [Term]));
reason({'EXIT', Reason}) -> reason(Reason);
reason(Reason) when is_atom(Reason) -> atom_to_binary(Reason);
reason(Reason) -> iolist_to_binary(io_lib:format("~0p", [Reason])).

%% JSON, as much as is needed.

say(Fields) ->
    Parts = [[json(Name), $:, json(Value)] || {Name, Value} <- Fields],
    io:put_chars(iolist_to_binary([${, lists:join($,, Parts), $}, $\n])).

json(Text) when is_binary(Text) -> [$", Text, $"];
json(Atom) when is_atom(Atom) -> json(atom_to_binary(Atom));
json(Number) when is_integer(Number) -> integer_to_binary(Number);
json(List) when is_list(List) -> [$[, lists:join($,, [json(Item) || Item <- List]), $]].
