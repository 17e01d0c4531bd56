; How a table is worked through: runtime.py says what the words of it are.

%Header = type [16 x i64]
%Entry = type { ptr, ptr, i64, i64 }
%Task = type { i64, i64, i64, i64, i64 }
%Level = type { i64, i64 }
; mutex, condition, asleep, block of scratch, thread, core to keep off + 1
%Worker = type { [64 x i8], [64 x i8], i64, ptr, i64, i64, [96 x i8] }
; a line of cache each:
; 0 gate | 2 busy, 3 spare scratch, 4 job, 5 identity of its table, 6 idle ns, 7 cores, 8 clock
; 10 slots, 11 workers wanted, 12 finished, 13 taken, 14 words of a row of taken
; 16 current level | 18 first fault | 20 a bit for each core we may use | 21 workers
%Pool = type { i64, [56 x i8],
               i64, ptr, ptr, i64, i64, i64, i64, [8 x i8],
               ptr, i64, ptr, ptr, i64, [24 x i8],
               i64, [56 x i8],
               i64, [56 x i8],
               [128 x i8],
               [0 x %Worker] }

declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare ptr @memset(ptr, i32, i64)
declare ptr @memcpy(ptr, ptr, i64)
declare i32 @sched_yield()
declare i64 @pthread_self()
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_trylock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)

; A block is 64 bytes that hold its size, then the memory.  Gives a block of at least `need`.
define internal ptr @grown(ptr %block, i64 %need) {
entry:
  %none = icmp eq ptr %block, null
  br i1 %none, label %make, label %check
check:
  %size = load i64, ptr %block
  %fits = icmp uge i64 %size, %need
  br i1 %fits, label %keep, label %drop
keep:
  ret ptr %block
drop:
  call void @free(ptr %block)
  br label %make
make:
  %above = add i64 %need, 127
  %bytes = and i64 %above, -64
  %new = call ptr @aligned_alloc(i64 64, i64 %bytes)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %out, label %note
note:
  store i64 %need, ptr %new
  br label %out
out:
  ret ptr %new
}

; Scratch of a calling thread: the spare block, if no other thread has it now.
define internal ptr @take(ptr %pool, i64 %need) {
  %spare = getelementptr %Pool, ptr %pool, i64 0, i32 3
  %old = atomicrmw xchg ptr %spare, ptr null acquire
  %block = call ptr @grown(ptr %old, i64 %need)
  ret ptr %block
}

define internal void @give(ptr %pool, ptr %block) {
  %spare = getelementptr %Pool, ptr %pool, i64 0, i32 3
  %old = atomicrmw xchg ptr %spare, ptr %block acq_rel
  call void @free(ptr %old)
  ret void
}

; The whole table in this thread: no counter is touched.
define internal i64 @alone(ptr %pool, ptr %table, ptr %slots) {
entry:
  %count.at = getelementptr i64, ptr %table, i64 2
  %count = load i64, ptr %count.at
  %need.at = getelementptr i64, ptr %table, i64 5
  %need = load i64, ptr %need.at
  %entries = getelementptr %Header, ptr %table, i64 1
  %plain = icmp eq i64 %need, 0
  br i1 %plain, label %next, label %memory
memory:
  %block = call ptr @take(ptr %pool, i64 %need)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %poor, label %rich
poor:
  ret i64 -1
rich:
  %inner = getelementptr i8, ptr %block, i64 64
  br label %next
next:
  %e = phi i64 [ 0, %entry ], [ 0, %rich ], [ %e1, %look ], [ %e1, %call ]
  %mine = phi ptr [ null, %entry ], [ %block, %rich ], [ %mine, %look ], [ %mine, %call ]
  %scratch = phi ptr [ null, %entry ], [ %inner, %rich ],
                     [ %scratch, %look ], [ %scratch, %call ]
  %more = icmp ult i64 %e, %count
  br i1 %more, label %look, label %done
look:
  %e1 = add i64 %e, 1
  %units.at = getelementptr %Entry, ptr %entries, i64 %e, i32 2
  %units = load i64, ptr %units.at
  %empty = icmp eq i64 %units, 0
  br i1 %empty, label %next, label %call
call:
  %kernel.at = getelementptr %Entry, ptr %entries, i64 %e
  %kernel = load ptr, ptr %kernel.at
  %places.at = getelementptr %Entry, ptr %entries, i64 %e, i32 1
  %places = load ptr, ptr %places.at
  %code = call i64 %kernel(ptr %slots, ptr %places, i64 0, i64 %units, ptr %scratch)
  %good = icmp eq i64 %code, 0
  br i1 %good, label %next, label %bad
bad:
  %fault = call i64 @packed(i64 %e, i64 %code)
  br label %done
done:
  %result = phi i64 [ 0, %next ], [ %fault, %bad ]
  %none = icmp eq ptr %mine, null
  br i1 %none, label %out, label %back
back:
  call void @give(ptr %pool, ptr %mine)
  br label %out
out:
  ret i64 %result
}

; A fault as one number: the least is the one that a run in order meets first.
define internal i64 @packed(i64 %entry, i64 %code) {
  %high = shl i64 %entry, 32
  %low = and i64 %code, 4294967295
  %both = or i64 %high, %low
  ret i64 %both
}
; One chunk of a task: a part of one entry, or all of each of its entries until one fails.
define internal void @chunk(ptr %pool, ptr %job, ptr %task, i64 %index, ptr %scratch) {
entry:
  %slots.at = getelementptr %Pool, ptr %pool, i64 0, i32 10
  %slots = load ptr, ptr %slots.at
  %entries = getelementptr %Header, ptr %job, i64 1
  %first = load i64, ptr %task
  %count.at = getelementptr %Task, ptr %task, i64 0, i32 1
  %count = load i64, ptr %count.at
  %end = add i64 %first, %count
  %grain.at = getelementptr %Task, ptr %task, i64 0, i32 2
  %grain = load i64, ptr %grain.at
  %lo = mul i64 %index, %grain
  %ahead = add i64 %lo, %grain
  br label %each
each:
  %e = phi i64 [ %first, %entry ], [ %e1, %good ]
  %at = getelementptr %Entry, ptr %entries, i64 %e
  %kernel = load ptr, ptr %at
  %places.at = getelementptr %Entry, ptr %at, i64 0, i32 1
  %places = load ptr, ptr %places.at
  %units.at = getelementptr %Entry, ptr %at, i64 0, i32 2
  %units = load i64, ptr %units.at
  %inside = icmp ult i64 %ahead, %units
  %hi = select i1 %inside, i64 %ahead, i64 %units
  %code = call i64 %kernel(ptr %slots, ptr %places, i64 %lo, i64 %hi, ptr %scratch)
  %ok = icmp eq i64 %code, 0
  br i1 %ok, label %good, label %bad
good:
  %e1 = add i64 %e, 1
  %more = icmp ult i64 %e1, %end
  br i1 %more, label %each, label %out
bad:
  %fault.at = getelementptr %Pool, ptr %pool, i64 0, i32 18
  %fault = call i64 @packed(i64 %e, i64 %code)
  %before = atomicrmw umin ptr %fault.at, i64 %fault monotonic
  br label %out
out:
  ret void
}

; Takes what is left of one home of a task; gives how many chunks that was.
define internal i64 @home(ptr %pool, ptr %job, i64 %t, i64 %h, i64 %n, ptr %scratch) {
entry:
  %start.at = getelementptr i64, ptr %job, i64 6
  %start = load i64, ptr %start.at
  %tasks = getelementptr i64, ptr %job, i64 %start
  %task = getelementptr %Task, ptr %tasks, i64 %t
  %turn.at = getelementptr %Task, ptr %task, i64 0, i32 4
  %turn = load i64, ptr %turn.at
  %h1 = add i64 %h, %turn
  %p = urem i64 %h1, %n
  %chunks.at = getelementptr %Task, ptr %task, i64 0, i32 3
  %chunks = load i64, ptr %chunks.at
  ; home p is the chunks from ceil(p chunks / n) to ceil((p + 1) chunks / n)
  %round = sub i64 %n, 1
  %a = mul i64 %p, %chunks
  %a1 = add i64 %a, %round
  %first = udiv i64 %a1, %n
  %b1 = add i64 %a1, %chunks
  %end = udiv i64 %b1, %n
  %limit = sub i64 %end, %first
  %taken.at = getelementptr %Pool, ptr %pool, i64 0, i32 13
  %taken = load ptr, ptr %taken.at
  %row.at = getelementptr %Pool, ptr %pool, i64 0, i32 14
  %row = load i64, ptr %row.at
  %above = mul i64 %p, %row
  %cell = add i64 %above, %t
  %counter = getelementptr i64, ptr %taken, i64 %cell
  br label %look
look:
  %done = phi i64 [ 0, %entry ], [ %done1, %do ]
  ; a look first: an addition would take the line of cache from its owner for nothing
  %seen = load atomic i64, ptr %counter monotonic, align 8
  %left = icmp ult i64 %seen, %limit
  br i1 %left, label %try, label %out
try:
  %c = atomicrmw add ptr %counter, i64 1 monotonic
  %got = icmp ult i64 %c, %limit
  br i1 %got, label %do, label %out
do:
  %index = add i64 %first, %c
  call void @chunk(ptr %pool, ptr %job, ptr %task, i64 %index, ptr %scratch)
  %done1 = add i64 %done, 1
  br label %look
out:
  ret i64 %done
}

; What is left of the homes of owner h in the tasks from first to end.
define internal i64 @homes(ptr %pool, ptr %job, i64 %h, i64 %n, i64 %first, i64 %end,
                           ptr %scratch) {
entry:
  br label %task
task:
  %t = phi i64 [ %first, %entry ], [ %t1, %task ]
  %part = phi i64 [ 0, %entry ], [ %sum, %task ]
  %got = call i64 @home(ptr %pool, ptr %job, i64 %t, i64 %h, i64 %n, ptr %scratch)
  %sum = add i64 %part, %got
  %t1 = add i64 %t, 1
  %more = icmp ult i64 %t1, %end
  br i1 %more, label %task, label %out
out:
  ret i64 %sum
}

; Whether the counter says total, within so many pauses.
define internal i1 @watch(ptr %counter, i64 %total, i64 %pauses) {
entry:
  br label %look
look:
  %k = phi i64 [ 0, %entry ], [ %k1, %spin ]
  %seen = load atomic i64, ptr %counter acquire, align 8
  %all = icmp eq i64 %seen, %total
  %late = icmp uge i64 %k, %pauses
  %end = or i1 %all, %late
  br i1 %end, label %out, label %spin
spin:
  call void @pause()
  %k1 = add i64 %k, 1
  br label %look
out:
  ret i1 %all
}

; Waits until the counter says total: at first without leaving the core, then politely.
define internal void @complete(ptr %counter, i64 %total, i64 %pauses) {
entry:
  br label %look
look:
  %k = phi i64 [ %pauses, %entry ], [ 0, %yield ]
  %all = call i1 @watch(ptr %counter, i64 %total, i64 %k)
  br i1 %all, label %out, label %yield
yield:
  call i32 @sched_yield()
  br label %look
out:
  ret void
}

; Worker w's part of the open run; worker 0 is the calling thread and stays to the end.
define internal void @work(ptr %pool, i64 %w, ptr %scratch) {
entry:
  %block.at = getelementptr %Pool, ptr %pool, i64 0, i32 4
  %block = load ptr, ptr %block.at
  %job = getelementptr i8, ptr %block, i64 64
  %count.at = getelementptr i64, ptr %job, i64 3
  %count = load i64, ptr %count.at
  %start.at = getelementptr i64, ptr %job, i64 7
  %start = load i64, ptr %start.at
  %levels = getelementptr i64, ptr %job, i64 %start
  %finished.at = getelementptr %Pool, ptr %pool, i64 0, i32 12
  %finished = load ptr, ptr %finished.at
  %n.at = getelementptr %Pool, ptr %pool, i64 0, i32 11
  %n = load i64, ptr %n.at
  %cores.at = getelementptr %Pool, ptr %pool, i64 0, i32 7
  %cores = load i64, ptr %cores.at
  %crowded = icmp ugt i64 %n, %cores
  %patience = select i1 %crowded, i64 32, i64 2000
  %calling = icmp eq i64 %w, 0
  %fault.at = getelementptr %Pool, ptr %pool, i64 0, i32 18
  %current.at = getelementptr %Pool, ptr %pool, i64 0, i32 16
  %from = load atomic i64, ptr %current.at acquire, align 8
  br label %next
next:
  %l = phi i64 [ %from, %entry ], [ %l1, %pass ], [ %l1, %tell ]
  %shy = phi i64 [ 16, %entry ], [ %shy.next, %pass ], [ %shy.next, %tell ]
  %more = icmp ult i64 %l, %count
  br i1 %more, label %check, label %out
check:
  %fault = load atomic i64, ptr %fault.at monotonic, align 8
  %good = icmp eq i64 %fault, -1
  br i1 %good, label %level, label %out
level:
  %l1 = add i64 %l, 1
  %at = getelementptr %Level, ptr %levels, i64 %l
  %first = load i64, ptr %at
  %total.at = getelementptr %Level, ptr %levels, i64 %l, i32 1
  %total = load i64, ptr %total.at
  %end.at = getelementptr %Level, ptr %levels, i64 %l1
  %end = load i64, ptr %end.at
  %counter = getelementptr i64, ptr %finished, i64 %l
  %own = call i64 @homes(ptr %pool, ptr %job, i64 %w, i64 %n, i64 %first, i64 %end,
                         ptr %scratch)
  %idle = icmp eq i64 %own, 0
  br i1 %idle, label %look, label %tally
tally:
  %before = atomicrmw add ptr %counter, i64 %own acq_rel
  br label %look
look:
  ; To look at the counters of others slows them down, and one who comes a moment later must not
  ; lose its home: so not at once, and later still where it was vain before.
  %gate = load atomic i64, ptr %pool monotonic, align 8
  %inside = and i64 %gate, 4294967295
  %single = icmp eq i64 %inside, 0
  %pauses = select i1 %single, i64 0, i64 %shy
  %even = call i1 @watch(ptr %counter, i64 %total, i64 %pauses)
  br i1 %even, label %pass, label %owner
owner:
  %j = phi i64 [ 1, %look ], [ %j1, %others ]
  %stolen = phi i64 [ 0, %look ], [ %sum, %others ]
  %h = add i64 %w, %j
  %done = call i64 @homes(ptr %pool, ptr %job, i64 %h, i64 %n, i64 %first, i64 %end,
                          ptr %scratch)
  %sum = add i64 %stolen, %done
  %some = icmp ne i64 %done, 0
  br i1 %some, label %add, label %others
add:
  %earlier = atomicrmw add ptr %counter, i64 %done acq_rel
  br label %others
others:
  %j1 = add i64 %j, 1
  %left = icmp ult i64 %j1, %n
  br i1 %left, label %owner, label %wait
wait:
  call void @complete(ptr %counter, i64 %total, i64 %patience)
  br label %pass
pass:
  %got = phi i64 [ 0, %look ], [ %sum, %wait ]
  %vain = icmp eq i64 %got, 0
  %shy.next = select i1 %vain, i64 16, i64 6
  br i1 %calling, label %tell, label %next
tell:
  store atomic i64 %l1, ptr %current.at release, align 8
  br label %next
out:
  ret void
}
