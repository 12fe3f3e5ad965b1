%% Measures Erlang/OTP's own supervisor: start of N children, crash to restarted, memory of a child. Needs only `erl`.
%%
%% Prints one line of JSON for each N that it reads from standard input.
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
            [Children, Crashes] = [list_to_integer(Word) || Word <- string:lexemes(string:trim(Line), " ")],
            Main = self(),
            spawn(fun() -> measure(Children, Crashes), Main ! done end),
            receive done -> ok end,
            serve()
    end.

measure(N, Crashes) ->
    process_flag(trap_exit, true),
    erlang:garbage_collect(),
    Memory = erlang:memory(total),
    Begun = erlang:monotonic_time(nanosecond),
    {ok, Sup} = supervisor:start_link(?MODULE, {self(), N}),
    Started = erlang:monotonic_time(nanosecond) - Begun,
    Pids = drain(N, []),
    Used = erlang:memory(total) - Memory,
    Times = crash(lists:sublist(Pids, Crashes), Crashes, []),
    Median = lists:nth(max(1, length(Times) div 2), lists:sort(Times)),
    io:format("{\"children\": ~b, \"start_ns\": ~b, \"restart_ns\": ~b, \"bytes\": ~b}~n",
              [N, Started, Median, Used div N]),
    exit(Sup, kill),
    receive {'EXIT', Sup, _} -> ok end.

drain(0, Pids) -> lists:reverse(Pids);
drain(N, Pids) -> receive {up, Pid} -> drain(N - 1, [Pid | Pids]) end.

crash(_, 0, Times) -> Times;
crash([Pid | Rest], Left, Times) ->
    Begun = erlang:monotonic_time(nanosecond),
    exit(Pid, kill),
    receive {up, New} -> crash(Rest ++ [New], Left - 1, [erlang:monotonic_time(nanosecond) - Begun | Times]) end.

init({Main, N}) ->
    Children = [#{id => I, start => {?MODULE, start_child, [Main]}, modules => []} || I <- lists:seq(1, N)],
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, Children}}.

start_child(Main) -> proc_lib:start_link(?MODULE, child, [Main]).

child(Main) ->
    proc_lib:init_ack({ok, self()}),
    Main ! {up, self()},
    receive stop -> ok end.
