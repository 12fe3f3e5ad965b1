%% Measures Erlang/OTP's own supervisor: start of N children, crash to restarted, memory of a child. Needs only `erl`.
%%
%% For each line `static|dynamic N CRASHES` of standard input it prints one line of JSON. `static` is one_for_one with N
%% specifications, `dynamic` is simple_one_for_one, which finds a dead child without looking through all.
-module(measure_otp).
-behaviour(supervisor).
-export([main/0, init/1, start_child/1, child/1]).

main() ->
    ok = logger:set_primary_config(level, none),
    serve().

serve() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            [Kind | Numbers] = string:lexemes(string:trim(Line), " "),
            [Children, Crashes] = [list_to_integer(Number) || Number <- Numbers],
            Main = self(),
            spawn(fun() -> measure(list_to_atom(Kind), Children, Crashes), Main ! done end),
            receive done -> ok end,
            serve()
    end.

measure(Kind, N, Crashes) ->
    process_flag(trap_exit, true),
    erlang:garbage_collect(),
    Memory = erlang:memory(total),
    Begun = erlang:monotonic_time(nanosecond),
    {ok, Sup} = supervisor:start_link(?MODULE, {Kind, self(), N}),
    [{ok, _} = supervisor:start_child(Sup, []) || Kind =:= dynamic, _ <- lists:seq(1, N)],
    Started = erlang:monotonic_time(nanosecond) - Begun,
    Pids = drain(N, []),
    Used = erlang:memory(total) - Memory,
    Times = crash(lists:sublist(Pids, Crashes), Crashes, []),
    Median = lists:nth(max(1, length(Times) div 2), lists:sort(Times)),
    io:format("{\"kind\": \"~s\", \"children\": ~b, \"start_ns\": ~b, \"restart_ns\": ~b, \"bytes\": ~b}~n",
              [Kind, N, Started, Median, Used div N]),
    exit(Sup, kill),
    receive {'EXIT', Sup, _} -> ok end.

drain(0, Pids) -> lists:reverse(Pids);
drain(N, Pids) -> receive {up, Pid} -> drain(N - 1, [Pid | Pids]) end.

crash(_, 0, Times) -> Times;
crash([Pid | Rest], Left, Times) ->
    Begun = erlang:monotonic_time(nanosecond),
    exit(Pid, kill),
    receive {up, New} -> crash(Rest ++ [New], Left - 1, [erlang:monotonic_time(nanosecond) - Begun | Times]) end.

init({dynamic, Main, _}) ->
    Child = #{id => child, start => {?MODULE, start_child, [Main]}, modules => []},
    {ok, {#{strategy => simple_one_for_one, intensity => 1000000, period => 1}, [Child]}};
init({static, Main, N}) ->
    Children = [#{id => I, start => {?MODULE, start_child, [Main]}, modules => []} || I <- lists:seq(1, N)],
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, Children}}.

start_child(Main) -> proc_lib:start_link(?MODULE, child, [Main]).

child(Main) ->
    proc_lib:init_ack({ok, self()}),
    Main ! {up, self()},
    receive stop -> ok end.
