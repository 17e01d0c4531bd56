; A run from its start to its end, and the life of a worker.
; A pool for at most `most` workers.
define ptr @create(i64 %most, i64 %idle, i64 %cores, ptr %bits, i64 %clock) {
entry:
  %end = getelementptr %Pool, ptr null, i64 0, i32 21, i64 %most
  %bytes = ptrtoint ptr %end to i64
  %pool = call ptr @aligned_alloc(i64 64, i64 %bytes)
  %failed = icmp eq ptr %pool, null
  br i1 %failed, label %out, label %fill
fill:
  call ptr @memset(ptr %pool, i32 0, i64 %bytes)
  %idle.at = getelementptr %Pool, ptr %pool, i64 0, i32 6
  store i64 %idle, ptr %idle.at
  %cores.at = getelementptr %Pool, ptr %pool, i64 0, i32 7
  store i64 %cores, ptr %cores.at
  %clock.at = getelementptr %Pool, ptr %pool, i64 0, i32 8
  store i64 %clock, ptr %clock.at
  %bits.at = getelementptr %Pool, ptr %pool, i64 0, i32 20
  call ptr @memcpy(ptr %bits.at, ptr %bits, i64 128)
  br label %each
each:
  %w = phi i64 [ 0, %fill ], [ %w1, %each ]
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 21, i64 %w
  %condition = getelementptr %Worker, ptr %mutex, i64 0, i32 1
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  %w1 = add i64 %w, 1
  %more = icmp ult i64 %w1, %most
  br i1 %more, label %each, label %out
out:
  ret ptr %pool
}
; Whether nobody is inside the last run.  Waits a little: one who is may only need the core.
define internal i1 @settled(ptr %pool) {
entry:
  br label %look
look:
  %k = phi i64 [ 0, %entry ], [ %k1, %spin ], [ %k1, %yield ]
  %gate = load atomic i64, ptr %pool acquire, align 8
  %inside = and i64 %gate, 4294967295
  %empty = icmp eq i64 %inside, 0
  br i1 %empty, label %yes, label %wait
wait:
  %k1 = add i64 %k, 1
  %early = icmp ult i64 %k, 500
  br i1 %early, label %spin, label %later
spin:
  call void @pause()
  br label %look
later:
  %still = icmp ult i64 %k, 520
  br i1 %still, label %yield, label %no
yield:
  call i32 @sched_yield()
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; Makes the job of a run: a copy of the table, unless it is there, and counters at zero.
define internal i1 @prepare(ptr %pool, ptr %table, ptr %slots, i64 %n) {
entry:
  %id = load i64, ptr %table
  %words.at = getelementptr i64, ptr %table, i64 1
  %words = load i64, ptr %words.at
  %levels.at = getelementptr i64, ptr %table, i64 3
  %levels = load i64, ptr %levels.at
  %tasks.at = getelementptr i64, ptr %table, i64 4
  %tasks = load i64, ptr %tasks.at
  %tasks7 = add i64 %tasks, 7
  %row = and i64 %tasks7, -8
  %levels7 = add i64 %levels, 7
  %tops = and i64 %levels7, -8
  %rows = mul i64 %n, %row
  %counters = add i64 %rows, %tops
  %all = add i64 %words, %counters
  %need = shl i64 %all, 3
  %block.at = getelementptr %Pool, ptr %pool, i64 0, i32 4
  %old = load ptr, ptr %block.at
  %block = call ptr @grown(ptr %old, i64 %need)
  store ptr %block, ptr %block.at
  %id.at = getelementptr %Pool, ptr %pool, i64 0, i32 5
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %poor, label %rich
poor:
  ret i1 false
rich:
  %job = getelementptr i8, ptr %block, i64 64
  %moved = icmp ne ptr %old, %block
  %held = load i64, ptr %id.at
  %other = icmp ne i64 %held, %id
  %fresh = or i1 %moved, %other
  br i1 %fresh, label %copy, label %clear
copy:
  %bytes = shl i64 %words, 3
  call ptr @memcpy(ptr %job, ptr %table, i64 %bytes)
  store i64 %id, ptr %id.at
  br label %clear
clear:
  %finished = getelementptr i64, ptr %job, i64 %words
  %taken = getelementptr i64, ptr %finished, i64 %tops
  %zeros = shl i64 %counters, 3
  call ptr @memset(ptr %finished, i32 0, i64 %zeros)
  %slots.at = getelementptr %Pool, ptr %pool, i64 0, i32 10
  store ptr %slots, ptr %slots.at
  %n.at = getelementptr %Pool, ptr %pool, i64 0, i32 11
  store atomic i64 %n, ptr %n.at monotonic, align 8
  %finished.at = getelementptr %Pool, ptr %pool, i64 0, i32 12
  store ptr %finished, ptr %finished.at
  %taken.at = getelementptr %Pool, ptr %pool, i64 0, i32 13
  store ptr %taken, ptr %taken.at
  %row.at = getelementptr %Pool, ptr %pool, i64 0, i32 14
  store i64 %row, ptr %row.at
  %current.at = getelementptr %Pool, ptr %pool, i64 0, i32 16
  store atomic i64 0, ptr %current.at monotonic, align 8
  %fault.at = getelementptr %Pool, ptr %pool, i64 0, i32 18
  store atomic i64 -1, ptr %fault.at monotonic, align 8
  ret i1 true
}

; Wakes a worker if it sleeps.  Its mutex is held for instants only; should the holder have lost
; its core just then, we do without that worker.
define internal void @wake(ptr %pool, i64 %w) {
entry:
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 21, i64 %w
  %condition = getelementptr %Worker, ptr %mutex, i64 0, i32 1
  %asleep = getelementptr %Worker, ptr %mutex, i64 0, i32 2
  %flag = load atomic i64, ptr %asleep seq_cst, align 8
  %sleeps = icmp ne i64 %flag, 0
  br i1 %sleeps, label %try, label %out
try:
  %k = phi i64 [ 0, %entry ], [ %k1, %again ]
  %busy = call i32 @pthread_mutex_trylock(ptr %mutex)
  %held = icmp eq i32 %busy, 0
  br i1 %held, label %signal, label %again
again:
  call void @pause()
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, 500
  br i1 %more, label %try, label %out
signal:
  call void @keep_off(ptr %pool, i64 %w)
  store atomic i64 0, ptr %asleep monotonic, align 8
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call i32 @pthread_cond_signal(ptr %condition)
  br label %out
out:
  ret void
}

; The prepared job, with whoever comes; this thread does all that nobody else does.
define internal i64 @together(ptr %pool, i64 %n, i64 %need) {
entry:
  %plain = icmp eq i64 %need, 0
  br i1 %plain, label %open, label %memory
memory:
  %block = call ptr @take(ptr %pool, i64 %need)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %poor, label %rich
poor:
  ret i64 -1
rich:
  %inner = getelementptr i8, ptr %block, i64 64
  br label %open
open:
  %mine = phi ptr [ null, %entry ], [ %block, %rich ]
  %scratch = phi ptr [ null, %entry ], [ %inner, %rich ]
  %closed = atomicrmw add ptr %pool, i64 4294967296 seq_cst
  br label %each
each:
  %w = phi i64 [ 1, %open ], [ %w1, %each ]
  call void @wake(ptr %pool, i64 %w)
  %w1 = add i64 %w, 1
  %more = icmp ult i64 %w1, %n
  br i1 %more, label %each, label %go
go:
  call void @work(ptr %pool, i64 0, ptr %scratch)
  %opened = atomicrmw add ptr %pool, i64 4294967296 seq_cst
  %fault.at = getelementptr %Pool, ptr %pool, i64 0, i32 18
  %fault = load atomic i64, ptr %fault.at monotonic, align 8
  %good = icmp eq i64 %fault, -1
  %result = select i1 %good, i64 0, i64 %fault
  %none = icmp eq ptr %mine, null
  br i1 %none, label %out, label %back
back:
  call void @give(ptr %pool, ptr %mine)
  br label %out
out:
  ret i64 %result
}

; Runs a table on n workers, or in this thread alone if the workers are at another thread's table.
; Gives 0, a fault (entry << 32 | code), or -1 if there is no memory.
define i64 @run(ptr %pool, ptr %table, ptr %slots, i64 %n) {
entry:
  %busy = getelementptr %Pool, ptr %pool, i64 0, i32 2
  %many = icmp ugt i64 %n, 1
  br i1 %many, label %lock, label %serial
lock:
  %pair = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %ours = extractvalue { i64, i1 } %pair, 1
  br i1 %ours, label %settle, label %serial
settle:
  %quiet = call i1 @settled(ptr %pool)
  br i1 %quiet, label %make, label %unlock
make:
  %ready = call i1 @prepare(ptr %pool, ptr %table, ptr %slots, i64 %n)
  br i1 %ready, label %shared, label %unlock
shared:
  %need.at = getelementptr i64, ptr %table, i64 5
  %need = load i64, ptr %need.at
  %a = call i64 @together(ptr %pool, i64 %n, i64 %need)
  store atomic i64 0, ptr %busy release, align 8
  br label %done
unlock:
  store atomic i64 0, ptr %busy release, align 8
  br label %serial
serial:
  %b = call i64 @alone(ptr %pool, ptr %table, ptr %slots)
  br label %done
done:
  %result = phi i64 [ %a, %shared ], [ %b, %serial ]
  %ended = icmp ne i64 %result, -1
  %one = zext i1 %ended to i64
  %ended.at = getelementptr i64, ptr %table, i64 8
  %runs = load i64, ptr %ended.at
  %runs1 = add i64 %runs, %one
  store i64 %runs1, ptr %ended.at
  ret i64 %result
}
define internal i64 @now(ptr %pool) {
  %time = alloca [2 x i64]
  %clock.at = getelementptr %Pool, ptr %pool, i64 0, i32 8
  %clock = load i64, ptr %clock.at
  %clock32 = trunc i64 %clock to i32
  call i32 @clock_gettime(i32 %clock32, ptr %time)
  %seconds = load i64, ptr %time
  %rest.at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.at
  %ns = mul i64 %seconds, 1000000000
  %sum = add i64 %ns, %rest
  ret i64 %sum
}

; Sleeps until it is woken, unless a run has been opened that it has not seen.  The flag is set
; before the gate is read, and a run is opened before the flag is read: one of the two sees.
define internal void @sleep(ptr %pool, i64 %w, i64 %seen) {
entry:
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 21, i64 %w
  %condition = getelementptr %Worker, ptr %mutex, i64 0, i32 1
  %asleep = getelementptr %Worker, ptr %mutex, i64 0, i32 2
  call i32 @pthread_mutex_lock(ptr %mutex)
  %was = atomicrmw xchg ptr %asleep, i64 1 seq_cst
  %gate = load atomic i64, ptr %pool seq_cst, align 8
  %generation = lshr i64 %gate, 32
  %open = trunc i64 %generation to i1
  %new = icmp ne i64 %generation, %seen
  %stay = and i1 %open, %new
  br i1 %stay, label %up, label %down
down:
  call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  %flag = load atomic i64, ptr %asleep monotonic, align 8
  %again = icmp ne i64 %flag, 0
  br i1 %again, label %down, label %up
up:
  store atomic i64 0, ptr %asleep monotonic, align 8
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

; Enters the next run that wants worker w; gives its generation.  A worker that has no core of its
; own sleeps at once instead of taking a core from the calling thread.
define internal i64 @enter(ptr %pool, i64 %w, i64 %last) {
entry:
  %cores.at = getelementptr %Pool, ptr %pool, i64 0, i32 7
  %cores = load i64, ptr %cores.at
  %idle.at = getelementptr %Pool, ptr %pool, i64 0, i32 6
  %idle.set = load i64, ptr %idle.at
  %owner = icmp ult i64 %w, %cores
  %idle = select i1 %owner, i64 %idle.set, i64 0
  %n.at = getelementptr %Pool, ptr %pool, i64 0, i32 11
  br label %begin
begin:
  %seen.b = phi i64 [ %last, %entry ], [ %seen.r, %sleep ]
  %since = call i64 @now(ptr %pool)
  br label %poll
poll:
  %k = phi i64 [ 0, %begin ], [ %k1, %rest ], [ %k1, %clock ]
  %seen = phi i64 [ %seen.b, %begin ], [ %seen.r, %rest ], [ %seen.r, %clock ]
  %gate = load atomic i64, ptr %pool acquire, align 8
  %generation = lshr i64 %gate, 32
  %open = trunc i64 %generation to i1
  %new = icmp ne i64 %generation, %seen
  %go = and i1 %open, %new
  br i1 %go, label %look, label %rest
look:
  %n = load atomic i64, ptr %n.at monotonic, align 8
  %wanted = icmp ult i64 %w, %n
  br i1 %wanted, label %try, label %rest
try:
  %gate1 = add i64 %gate, 1
  %pair = cmpxchg ptr %pool, i64 %gate, i64 %gate1 acquire monotonic
  %in = extractvalue { i64, i1 } %pair, 1
  br i1 %in, label %out, label %rest
rest:
  %seen.r = phi i64 [ %seen, %poll ], [ %generation, %look ], [ %seen, %try ]
  call void @pause()
  %k1 = add i64 %k, 1
  %low = and i64 %k1, 15
  %often = icmp ne i64 %low, 0
  br i1 %often, label %poll, label %clock
clock:
  %time = call i64 @now(ptr %pool)
  %spent = sub i64 %time, %since
  %long = icmp uge i64 %spent, %idle
  br i1 %long, label %sleep, label %poll
sleep:
  call void @sleep(ptr %pool, i64 %w, i64 %seen.r)
  br label %begin
out:
  ret i64 %generation
}

; The life of worker w.
define void @worker(ptr %pool, i64 %w) {
entry:
  %self = getelementptr %Pool, ptr %pool, i64 0, i32 21, i64 %w
  %thread.at = getelementptr %Worker, ptr %self, i64 0, i32 4
  %thread = call i64 @pthread_self()
  store i64 %thread, ptr %thread.at
  %scratch.at = getelementptr %Worker, ptr %self, i64 0, i32 3
  %job.at = getelementptr %Pool, ptr %pool, i64 0, i32 4
  br label %again
again:
  %last = phi i64 [ 0, %entry ], [ %generation, %leave ]
  %generation = call i64 @enter(ptr %pool, i64 %w, i64 %last)
  %job = load ptr, ptr %job.at
  ; the 64 bytes of the block's own, and word 5 of the table
  %need.at = getelementptr i8, ptr %job, i64 104
  %need = load i64, ptr %need.at
  %plain = icmp eq i64 %need, 0
  br i1 %plain, label %work, label %memory
memory:
  %old = load ptr, ptr %scratch.at
  %block = call ptr @grown(ptr %old, i64 %need)
  store ptr %block, ptr %scratch.at
  %inner = getelementptr i8, ptr %block, i64 64
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %leave, label %work
work:
  %scratch = phi ptr [ null, %again ], [ %inner, %memory ]
  call void @work(ptr %pool, i64 %w, ptr %scratch)
  br label %leave
leave:
  %inside = atomicrmw sub ptr %pool, i64 1 release
  br label %again
}
