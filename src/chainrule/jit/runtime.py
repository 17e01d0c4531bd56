"""The native half of threads.py: workers, and the loops that run a table of kernels.

This text is LLVM IR written by hand, beside emit.py, because it is generated from no graph: it is
the same for every program, and must run where no Python may (workers hold no GIL).  LLVM makes it
work on every processor, and it needs of the system what POSIX threads give.

**The table** of a program, in words of 8 bytes (threads.Table writes it, nobody changes it):

    header   16 words: identity, length in words, entries, levels, tasks, bytes of scratch,
             where tasks start, where levels start, how many runs have ended
    entries  kernel, its places, units, 0
    tasks    first entry, entries, grain, chunks, turn
    levels   first task, chunks of all its tasks; and one more that ends the last

A **task** is what workers share: either one entry, cut into chunks of `grain` units, or, as one
chunk, a row of entries that have nothing to share.

**Who does what.**  Worker w of n first takes the chunks of its home, the w-th n-th of each task,
so that it meets the same rows in kernel after kernel; then it takes what others left.  Chunks are
taken by an atomic counter for each home, so nobody waits for a worker: only for chunks that
somebody is at.  A level is complete when `finished` has counted all its chunks.

**Memory order.**  A worker adds to `finished` (release) after its chunks, and reads it (acquire)
before the next level: so it sees all that the level wrote.  One that comes late reads `current`,
stored (release) by the calling thread after it had seen the levels before.

**The gate** is a word: generation << 32 | workers inside.  An odd generation is an open run.  A
worker enters by exchanging the whole word, so it enters only the run that it has seen.  What
workers share - a copy of the table and the counters, the *job* - is changed only while the gate
is closed and nobody is inside; a worker that loses its core inside a finished run makes the next
run go on alone instead of wait.  Nothing here belongs to Python, so that workers may still be
inside when Python takes its objects down.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import NamedTuple

import llvmlite.binding as llvm

HEADER = 16
#: How long an idle worker keeps looking for work before it sleeps.
IDLE_NS = 60_000

_PAUSES = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.isb(i32 15)",
}
_PAUSES |= {"AMD64": _PAUSES["x86_64"], "arm64": _PAUSES["aarch64"]}
_DECLARED = {
    "call void @llvm.x86.sse2.pause()": "declare void @llvm.x86.sse2.pause()",
    "call void @llvm.aarch64.isb(i32 15)": "declare void @llvm.aarch64.isb(i32)",
}

_TYPES = """
%Entry = type { ptr, ptr, i64, i64 }
%Task = type { i64, i64, i64, i64, i64 }
%Level = type { i64, i64 }
; mutex, condition, asleep, block of scratch
%Worker = type { [64 x i8], [64 x i8], i64, ptr, [112 x i8] }
; a line of cache each:
; 0 gate | 2 busy, 3 spare scratch, 4 job, 5 identity of its table, 6 idle ns, 7 cores, 8 clock
; 10 slots, 11 workers wanted, 12 finished, 13 taken, 14 words of a row of taken
; 16 current level | 18 first fault | 20 workers
%Pool = type { i64, [56 x i8],
               i64, ptr, ptr, i64, i64, i64, i64, [8 x i8],
               ptr, i64, ptr, ptr, i64, [24 x i8],
               i64, [56 x i8],
               i64, [56 x i8],
               [0 x %Worker] }

declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare ptr @memset(ptr, i32, i64)
declare ptr @memcpy(ptr, ptr, i64)
declare i32 @sched_yield()
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_trylock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
"""

_MEMORY = """
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

; A pool for at most `most` workers.
define ptr @create(i64 %most, i64 %idle, i64 %cores, i64 %clock) {
entry:
  %end = getelementptr %Pool, ptr null, i64 0, i32 20, i64 %most
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
  br label %each
each:
  %w = phi i64 [ 0, %fill ], [ %w1, %each ]
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 20, i64 %w
  %condition = getelementptr %Worker, ptr %mutex, i64 0, i32 1
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  %w1 = add i64 %w, 1
  %more = icmp ult i64 %w1, %most
  br i1 %more, label %each, label %out
out:
  ret ptr %pool
}
"""

_ALONE = """
; The whole table in this thread: no counter is touched.
define internal i64 @alone(ptr %pool, ptr %table, ptr %slots) {
entry:
  %count.at = getelementptr i64, ptr %table, i64 2
  %count = load i64, ptr %count.at
  %need.at = getelementptr i64, ptr %table, i64 5
  %need = load i64, ptr %need.at
  %entries = getelementptr i64, ptr %table, i64 HEADER
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
  %e = phi i64 [ 0, %entry ], [ 0, %rich ], [ %e1, %call ]
  %mine = phi ptr [ null, %entry ], [ %block, %rich ], [ %mine, %call ]
  %scratch = phi ptr [ null, %entry ], [ %inner, %rich ], [ %scratch, %call ]
  %more = icmp ult i64 %e, %count
  br i1 %more, label %call, label %done
call:
  %e1 = add i64 %e, 1
  %units.at = getelementptr %Entry, ptr %entries, i64 %e, i32 2
  %units = load i64, ptr %units.at
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
"""

_WORK = """
; One chunk of a task: a part of one entry, or all of each of its entries until one fails.
define internal void @chunk(ptr %pool, ptr %job, ptr %task, i64 %index, ptr %scratch) {
entry:
  %slots.at = getelementptr %Pool, ptr %pool, i64 0, i32 10
  %slots = load ptr, ptr %slots.at
  %entries = getelementptr i64, ptr %job, i64 HEADER
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

; Waits until the counter says total: at first without leaving the core, then politely.
define internal void @complete(ptr %counter, i64 %total, i64 %patience) {
entry:
  br label %look
look:
  %k = phi i64 [ 0, %entry ], [ %k1, %spin ], [ %k1, %yield ]
  %seen = load atomic i64, ptr %counter acquire, align 8
  %all = icmp eq i64 %seen, %total
  br i1 %all, label %out, label %wait
wait:
  %k1 = add i64 %k, 1
  %early = icmp ult i64 %k, %patience
  br i1 %early, label %spin, label %yield
spin:
  PAUSE
  br label %look
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
  br label %owner
owner:
  ; its own homes first, then the others', until all is done or taken
  %h = phi i64 [ %w, %level ], [ %h1, %others ]
  %done = call i64 @homes(ptr %pool, ptr %job, i64 %h, i64 %n, i64 %first, i64 %end,
                          ptr %scratch)
  %some = icmp ne i64 %done, 0
  br i1 %some, label %add, label %others
add:
  %before = atomicrmw add ptr %counter, i64 %done acq_rel
  %now = add i64 %before, %done
  %complete = icmp eq i64 %now, %total
  br i1 %complete, label %pass, label %others
others:
  %h1 = add i64 %h, 1
  %tried = sub i64 %h1, %w
  %left = icmp ult i64 %tried, %n
  br i1 %left, label %owner, label %wait
wait:
  call void @complete(ptr %counter, i64 %total, i64 %patience)
  br label %pass
pass:
  br i1 %calling, label %tell, label %next
tell:
  store atomic i64 %l1, ptr %current.at release, align 8
  br label %next
out:
  ret void
}
"""

_RUN = """
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
  PAUSE
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
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 20, i64 %w
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
  PAUSE
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, 500
  br i1 %more, label %try, label %out
signal:
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
"""

_WORKER = """
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
  %mutex = getelementptr %Pool, ptr %pool, i64 0, i32 20, i64 %w
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
  PAUSE
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
  %self = getelementptr %Pool, ptr %pool, i64 0, i32 20, i64 %w
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
"""


def text(machine: str) -> str:
    """The runtime for one kind of processor: they differ in how a loop that waits says so."""
    pause = _PAUSES.get(machine, "call i32 @sched_yield()")
    parts = (_TYPES, _DECLARED.get(pause, ""), _MEMORY, _ALONE, _WORK, _RUN, _WORKER)
    return "\n".join(parts).replace("PAUSE", pause).replace("HEADER", str(HEADER))


class Runtime(NamedTuple):
    """The functions of the runtime; each gives up the GIL."""

    create: ctypes._CFuncPtr  # (most, idle ns, cores, clock) -> pool
    run: ctypes._CFuncPtr  # (pool, table, slots, workers) -> fault
    worker: ctypes._CFuncPtr  # (pool, index), never returns


@cache
def runtime() -> Runtime:
    """Compile the runtime, once a process."""
    code = _compile()
    address, word = ctypes.c_void_p, ctypes.c_int64
    return Runtime(
        ctypes.CFUNCTYPE(address, word, word, word, word)(code.get_function_address("create")),
        ctypes.CFUNCTYPE(word, address, address, address, word)(code.get_function_address("run")),
        ctypes.CFUNCTYPE(None, address, word)(code.get_function_address("worker")),
    )


@cache  # workers live in this code to the end of the process
def _compile() -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # LLVM's optimizer would take ten times as long and save nothing: this waits and calls.
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(),
        opt=0, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(text(platform.machine()))
    code = llvm.create_mcjit_compiler(module, machine)
    code.finalize_object()
    return code
