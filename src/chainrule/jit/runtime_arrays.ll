; Where the elements of NumPy's arrays lie: arrays.py says when this may be used.

; list: 16 header, 24 items.  array: 16 data, 64 flags, of which 1 is row-major and 256 aligned.
define i64 @addresses(ptr %list, ptr %table, i64 %count) {
entry:
  %at = getelementptr i8, ptr %list, i64 24
  %items = load ptr, ptr %at
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %store ]
  %done = icmp eq i64 %i, %count
  br i1 %done, label %stop, label %look
look:
  %item = getelementptr ptr, ptr %items, i64 %i
  %array = load ptr, ptr %item
  %flags.at = getelementptr i8, ptr %array, i64 64
  %flags = load i32, ptr %flags.at
  %both = and i32 %flags, 257
  %fine = icmp eq i32 %both, 257
  br i1 %fine, label %store, label %stop
store:
  %data.at = getelementptr i8, ptr %array, i64 16
  %data = load i64, ptr %data.at
  %place = getelementptr i64, ptr %table, i64 %i
  store i64 %data, ptr %place
  %next = add i64 %i, 1
  br label %head
stop:
  ret i64 %i
}
