; Before worker w is woken: not on the core of the thread that wakes it.  Linux may choose that one
; although others are idle (in a virtual machine, an idle core counts as taken away), and then the
; worker comes when all is done.  Nothing is done for a worker that has no core of its own.
declare i32 @sched_getcpu()
declare i32 @pthread_setaffinity_np(i64, i64, ptr)

define internal void @keep_off(ptr %pool, i64 %w) {
entry:
  %bits = alloca [128 x i8]
  %cores.at = getelementptr %Pool, ptr %pool, i64 0, i32 7
  %cores = load i64, ptr %cores.at
  %self = getelementptr %Pool, ptr %pool, i64 0, i32 21, i64 %w
  %kept.at = getelementptr %Worker, ptr %self, i64 0, i32 5
  %kept = load i64, ptr %kept.at
  %owner = icmp ult i64 %w, %cores
  br i1 %owner, label %ask, label %out
ask:
  %core32 = call i32 @sched_getcpu()
  %core = zext i32 %core32 to i64
  %core1 = add i64 %core, 1
  %known = icmp ult i64 %core, 1024
  %other = icmp ne i64 %core1, %kept
  %do = and i1 %known, %other
  br i1 %do, label %set, label %out
set:
  store i64 %core1, ptr %kept.at
  %all = getelementptr %Pool, ptr %pool, i64 0, i32 20
  call ptr @memcpy(ptr %bits, ptr %all, i64 128)
  %index = lshr i64 %core, 3
  %at = getelementptr i8, ptr %bits, i64 %index
  %byte = load i8, ptr %at
  %core8 = trunc i64 %core to i8
  %place = and i8 %core8, 7
  %bit = shl i8 1, %place
  %mask = xor i8 %bit, -1
  %rest = and i8 %byte, %mask
  store i8 %rest, ptr %at
  %thread.at = getelementptr %Worker, ptr %self, i64 0, i32 4
  %thread = load i64, ptr %thread.at
  %done = call i32 @pthread_setaffinity_np(i64 %thread, i64 128, ptr %bits)
  br label %out
out:
  ret void
}
