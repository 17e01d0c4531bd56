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

; Runs a table of little work as one of Python's own functions, with the GIL, in this thread.
; %own is an array of words: 0 PyLong_FromLongLong, 1 table, 2 slots, 3 how many arrays, 4 how many
; places within arrays, then for each of these its slot, that of its array, its distance in bytes.
; %list are the arrays.  Gives what @run gives, or -2 - i if array i is not row-major.
define ptr @launch(ptr %own, ptr %list) {
entry:
  %words.at = getelementptr i8, ptr %own, i64 16
  %words = load ptr, ptr %words.at
  %number = load ptr, ptr %words
  %table.at = getelementptr i64, ptr %words, i64 1
  %table = load ptr, ptr %table.at
  %slots.at = getelementptr i64, ptr %words, i64 2
  %slots = load ptr, ptr %slots.at
  %count.at = getelementptr i64, ptr %words, i64 3
  %count = load i64, ptr %count.at
  %moving.at = getelementptr i64, ptr %words, i64 4
  %moving = load i64, ptr %moving.at
  %found = call i64 @addresses(ptr %list, ptr %slots, i64 %count)
  %all = icmp eq i64 %found, %count
  br i1 %all, label %head, label %refuse
refuse:
  %refused = sub i64 -2, %found
  br label %out
head:
  %i = phi i64 [ 0, %entry ], [ %next, %move ]
  %done = icmp eq i64 %i, %moving
  br i1 %done, label %go, label %move
move:
  %threefold = mul i64 %i, 3
  %offset = add i64 %threefold, 5
  %triple = getelementptr i64, ptr %words, i64 %offset
  %slot = load i64, ptr %triple
  %base.at = getelementptr i64, ptr %triple, i64 1
  %base = load i64, ptr %base.at
  %distance.at = getelementptr i64, ptr %triple, i64 2
  %distance = load i64, ptr %distance.at
  %start.at = getelementptr i64, ptr %slots, i64 %base
  %start = load i64, ptr %start.at
  %moved = add i64 %start, %distance
  %to = getelementptr i64, ptr %slots, i64 %slot
  store i64 %moved, ptr %to
  %next = add i64 %i, 1
  br label %head
go:
  %fault = call i64 @run(ptr null, ptr %table, ptr %slots, i64 1)
  br label %out
out:
  %result = phi i64 [ %refused, %refuse ], [ %fault, %go ]
  %given = call ptr %number(i64 %result)
  ret ptr %given
}
