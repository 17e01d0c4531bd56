; What a graph looks like, as the bytes of a key: walk.py says what is in it and when this may be used.

; %s, the words that walk.py fills in:
;   0 table of numbers  1 its mask  2 shift of its hash  3 generation  4 key  5 words of the key
;   6 Node  7 Promise  8 None  9 True  10 PyList_Append  11 PyBytes_FromStringAndSize
;   where a Node has: 12 value 13 op 14 inputs 15 attrs 16 spec 17 requires_grad 18 freed 19 owner
;   20 hooks; a Promise: 21 call 22 place; a Call: 23 template 24 inputs 25 together 26 promises;
;   a Template: 27 structure; 28 False

define internal i64 @word(ptr %s, i64 %i) alwaysinline {
  %at = getelementptr i64, ptr %s, i64 %i
  %value = load i64, ptr %at
  ret i64 %value
}

; The object in the slot of %object whose offset is word %i.
define internal ptr @slot(ptr %s, ptr %object, i64 %i) alwaysinline {
  %offset = call i64 @word(ptr %s, i64 %i)
  %at = getelementptr i8, ptr %object, i64 %offset
  %found = load ptr, ptr %at
  ret ptr %found
}

; 1 if that is the object of word %what, else 0.
define internal i64 @is(ptr %s, ptr %object, i64 %i, i64 %what) alwaysinline {
  %found = call ptr @slot(ptr %s, ptr %object, i64 %i)
  %number = ptrtoint ptr %found to i64
  %other = call i64 @word(ptr %s, i64 %what)
  %same = icmp eq i64 %number, %other
  %bit = zext i1 %same to i64
  ret i64 %bit
}

; How often %object is referred to: some versions of Python keep flags in the upper half.
define internal i64 @references(ptr %object) alwaysinline {
  %all = load i64, ptr %object
  %count = and i64 %all, 4294967295
  ret i64 %count
}

define internal void @put(ptr %s, ptr %length, i64 %value) alwaysinline {
  %key = call i64 @word(ptr %s, i64 4)
  %words = inttoptr i64 %key to ptr
  %n = load i64, ptr %length
  %at = getelementptr i64, ptr %words, i64 %n
  store i64 %value, ptr %at
  %more = add i64 %n, 1
  store i64 %more, ptr %length
  ret void
}

; The number of %object; if it has none yet, %next, which it has from now on.
define internal i64 @number(ptr %s, ptr %object, i64 %next) alwaysinline {
entry:
  %base = call i64 @word(ptr %s, i64 0)
  %table = inttoptr i64 %base to ptr
  %mask = call i64 @word(ptr %s, i64 1)
  %shift = call i64 @word(ptr %s, i64 2)
  %generation = call i64 @word(ptr %s, i64 3)
  %address = ptrtoint ptr %object to i64
  %high = mul i64 %address, -7046029254386353131
  %first = lshr i64 %high, %shift
  br label %look
look:
  %i = phi i64 [ %first, %entry ], [ %following, %on ]
  %pair = shl i64 %i, 1
  %at = getelementptr i64, ptr %table, i64 %pair
  %stamp.at = getelementptr i64, ptr %at, i64 1
  %stamp = load i64, ptr %stamp.at
  %age = lshr i64 %stamp, 16
  %fresh = icmp eq i64 %age, %generation
  br i1 %fresh, label %used, label %free
used:
  %there = load i64, ptr %at
  %same = icmp eq i64 %there, %address
  br i1 %same, label %known, label %on
on:
  %beside = add i64 %i, 1
  %following = and i64 %beside, %mask
  br label %look
known:
  %found = and i64 %stamp, 65535
  ret i64 %found
free:
  store i64 %address, ptr %at
  %upper = shl i64 %generation, 16
  %new = or i64 %upper, %next
  store i64 %new, ptr %stamp.at
  ret i64 %next
}

; How many of %n weak references, from %items on, are alive.
define internal i64 @alive(ptr %s, ptr %items, i64 %n) alwaysinline {
entry:
  %none = call i64 @word(ptr %s, i64 8)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %sum = phi i64 [ 0, %entry ], [ %more, %body ]
  %done = icmp eq i64 %i, %n
  br i1 %done, label %stop, label %body
body:
  %at = getelementptr ptr, ptr %items, i64 %i
  %reference = load ptr, ptr %at
  %object.at = getelementptr i8, ptr %reference, i64 16
  %object = load i64, ptr %object.at
  %lives = icmp ne i64 %object, %none
  %bit = zext i1 %lives to i64
  %more = add i64 %sum, %bit
  %next = add i64 %i, 1
  br label %head
stop:
  ret i64 %sum
}

; Number %n nodes from %items on (of weak references the living ones, whose numbers the key does not
; name), and append the new ones to %order; 0, or 1 if there is no memory.
define internal i64 @visit(ptr %s, ptr %items, i64 %n, i1 %weak, ptr %order, ptr %count, ptr %length) alwaysinline {
entry:
  %append = call i64 @word(ptr %s, i64 10)
  %append.to = inttoptr i64 %append to ptr
  %none = call i64 @word(ptr %s, i64 8)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %on ]
  %done = icmp eq i64 %i, %n
  br i1 %done, label %fine, label %body
body:
  %at = getelementptr ptr, ptr %items, i64 %i
  %item = load ptr, ptr %at
  br i1 %weak, label %refer, label %strong
refer:
  %object.at = getelementptr i8, ptr %item, i64 16
  %object = load ptr, ptr %object.at
  %object.word = ptrtoint ptr %object to i64
  %dead = icmp eq i64 %object.word, %none
  br i1 %dead, label %on, label %strong
strong:
  %node = phi ptr [ %item, %body ], [ %object, %refer ]
  %fresh = load i64, ptr %count
  %number = call i64 @number(ptr %s, ptr %node, i64 %fresh)
  br i1 %weak, label %numbered, label %named
named:
  call void @put(ptr %s, ptr %length, i64 %number)
  br label %numbered
numbered:
  %new = icmp eq i64 %number, %fresh
  br i1 %new, label %grow, label %on
grow:
  %more = add i64 %fresh, 1
  store i64 %more, ptr %count
  %failed = call i32 %append.to(ptr %order, ptr %node)
  %bad = icmp ne i32 %failed, 0
  br i1 %bad, label %out, label %on
on:
  %next = add i64 %i, 1
  br label %head
fine:
  ret i64 0
out:
  ret i64 1
}

; The key of the graph above the values that are known (%mode False), or of what back-propagation would
; pass (%mode True): bytes, without any where Python shall look; null if an error is set.
; Fills the lists %order, %calls and %attrs.  Called as one of Python's own functions: %own is an
; array, whose elements are the words; the arguments are (outputs, order, calls, attrs, mode).
define ptr @walk(ptr %own, ptr %arguments, i64 %how.many) {
entry:
  %s.at = getelementptr i8, ptr %own, i64 16
  %s = load ptr, ptr %s.at
  %outputs = load ptr, ptr %arguments
  %order.at = getelementptr ptr, ptr %arguments, i64 1
  %order = load ptr, ptr %order.at
  %calls.at = getelementptr ptr, ptr %arguments, i64 2
  %calls = load ptr, ptr %calls.at
  %attrs.at = getelementptr ptr, ptr %arguments, i64 3
  %attrs = load ptr, ptr %attrs.at
  %mode.at = getelementptr ptr, ptr %arguments, i64 4
  %mode = load i64, ptr %mode.at
  %count = alloca i64
  %length = alloca i64
  %callcount = alloca i64
  store i64 0, ptr %count
  store i64 0, ptr %length
  store i64 0, ptr %callcount
  %append = call i64 @word(ptr %s, i64 10)
  %append.to = inttoptr i64 %append to ptr
  %make = call i64 @word(ptr %s, i64 11)
  %make.bytes = inttoptr i64 %make to ptr
  %key = call i64 @word(ptr %s, i64 4)
  %key.at = inttoptr i64 %key to ptr
  %room = call i64 @word(ptr %s, i64 5)
  %mask = call i64 @word(ptr %s, i64 1)
  %half = lshr i64 %mask, 1
  %node.type = call i64 @word(ptr %s, i64 6)
  %promise.type = call i64 @word(ptr %s, i64 7)
  %true = call i64 @word(ptr %s, i64 9)
  %backward = icmp eq i64 %mode, %true
  %old = call i64 @word(ptr %s, i64 3)
  %generation = add i64 %old, 1
  %generation.at = getelementptr i64, ptr %s, i64 3
  store i64 %generation, ptr %generation.at
  %outputs.size.at = getelementptr i8, ptr %outputs, i64 16
  %outputs.size = load i64, ptr %outputs.size.at
  %outputs.items.at = getelementptr i8, ptr %outputs, i64 24
  %outputs.items = load ptr, ptr %outputs.items.at
  %outputs.many = icmp ugt i64 %outputs.size, 1000
  br i1 %outputs.many, label %bail, label %first
first:
  call void @put(ptr %s, ptr %length, i64 %outputs.size)
  %bad.outputs = call i64 @visit(ptr %s, ptr %outputs.items, i64 %outputs.size, i1 0, ptr %order, ptr %count, ptr %length)
  %no.outputs = icmp ne i64 %bad.outputs, 0
  br i1 %no.outputs, label %error, label %head
head:
  %i = phi i64 [ 0, %first ], [ %next, %on ]
  %known.nodes = load i64, ptr %count
  %done = icmp eq i64 %i, %known.nodes
  br i1 %done, label %finish, label %take
take:
  %items.at = getelementptr i8, ptr %order, i64 24
  %items = load ptr, ptr %items.at
  %at = getelementptr ptr, ptr %items, i64 %i
  %node = load ptr, ptr %at
  %type.at = getelementptr i8, ptr %node, i64 8
  %type = load i64, ptr %type.at
  %is.node = icmp eq i64 %type, %node.type
  %is.promise = icmp eq i64 %type, %promise.type
  %is.one = or i1 %is.node, %is.promise
  br i1 %is.one, label %decided, label %bail
decided:
  %tracked = call i64 @is(ptr %s, ptr %node, i64 17, i64 9)
  %untracked = call i64 @is(ptr %s, ptr %node, i64 17, i64 28)
  %neither = icmp eq i64 %tracked, %untracked
  br i1 %neither, label %bail, label %facts
facts:
  %unknown = call i64 @is(ptr %s, ptr %node, i64 12, i64 8)
  %freed = call i64 @is(ptr %s, ptr %node, i64 18, i64 9)
  %unowned = call i64 @is(ptr %s, ptr %node, i64 19, i64 8)
  %spec = call ptr @slot(ptr %s, ptr %node, i64 16)
  %spec.word = ptrtoint ptr %spec to i64
  %pending = icmp ne i64 %unknown, 0
  %tracked.2 = shl i64 %tracked, 1
  %unowned.4 = shl i64 %unowned, 2
  %flags.two = or i64 %tracked.2, %unowned.4
  br i1 %backward, label %passable, label %forward
forward:
  %freed.8 = shl i64 %freed, 3
  %flags.three = or i64 %flags.two, %freed.8
  %flags.four = or i64 %flags.three, %unknown
  br i1 %pending, label %open, label %closed
passable:
  %unhooked = call i64 @is(ptr %s, ptr %node, i64 20, i64 8)
  %whole = icmp eq i64 %freed, 0
  %free.of = icmp ne i64 %unhooked, 0
  %passes = and i1 %whole, %free.of
  br i1 %passes, label %through, label %bail
through:
  %leads = and i64 %tracked, %unowned
  %leads.on = icmp ne i64 %leads, 0
  br i1 %leads.on, label %open, label %closed
closed:
  %flags.closed = phi i64 [ %flags.four, %forward ], [ %flags.two, %through ]
  call void @put(ptr %s, ptr %length, i64 %flags.closed)
  call void @put(ptr %s, ptr %length, i64 %spec.word)
  br label %on
open:
  %flags = phi i64 [ %flags.four, %forward ], [ %flags.two, %through ]
  br i1 %is.promise, label %ask, label %recorded
ask:
  %uncalled = call i64 @is(ptr %s, ptr %node, i64 21, i64 8)
  %is.called = icmp eq i64 %uncalled, 0
  br i1 %is.called, label %called, label %recorded

recorded:
  %op = call ptr @slot(ptr %s, ptr %node, i64 13)
  %op.word = ptrtoint ptr %op to i64
  %inputs = call ptr @slot(ptr %s, ptr %node, i64 14)
  %inputs.size.at = getelementptr i8, ptr %inputs, i64 16
  %inputs.size = load i64, ptr %inputs.size.at
  %inputs.items = getelementptr i8, ptr %inputs, i64 24
  %its.attrs = call ptr @slot(ptr %s, ptr %node, i64 15)
  %used.at = getelementptr i8, ptr %its.attrs, i64 16
  %used = load i64, ptr %used.at
  %has.attrs = icmp ne i64 %used, 0
  %attrs.bit = zext i1 %has.attrs to i64
  %attrs.16 = shl i64 %attrs.bit, 4
  %size.high = shl i64 %inputs.size, 8
  %flags.attrs = or i64 %flags, %attrs.16
  %flags.all = or i64 %flags.attrs, %size.high
  call void @put(ptr %s, ptr %length, i64 %flags.all)
  call void @put(ptr %s, ptr %length, i64 %spec.word)
  call void @put(ptr %s, ptr %length, i64 %op.word)
  br i1 %has.attrs, label %describe, label %references
describe:
  %attrs.failed = call i32 %append.to(ptr %attrs, ptr %its.attrs)
  %attrs.bad = icmp ne i32 %attrs.failed, 0
  br i1 %attrs.bad, label %error, label %references
references:
  br i1 %backward, label %edges, label %counted
counted:
  %references.count = call i64 @references(ptr %node)
  call void @put(ptr %s, ptr %length, i64 %references.count)
  br label %edges

called:
  ; A result that is known but not recorded: Python records it.
  br i1 %pending, label %promised, label %bail
promised:
  %call = call ptr @slot(ptr %s, ptr %node, i64 21)
  %place = call ptr @slot(ptr %s, ptr %node, i64 22)
  %place.at = getelementptr i8, ptr %place, i64 24
  %place.value = load i32, ptr %place.at
  %place.word = zext i32 %place.value to i64
  %flags.promise = or i64 %flags, 32
  %node.references = call i64 @references(ptr %node)
  %node.counted = select i1 %backward, i64 0, i64 %node.references
  call void @put(ptr %s, ptr %length, i64 %flags.promise)
  call void @put(ptr %s, ptr %length, i64 %spec.word)
  call void @put(ptr %s, ptr %length, i64 %place.word)
  call void @put(ptr %s, ptr %length, i64 %node.counted)
  %next.call = load i64, ptr %callcount
  %call.number = call i64 @number(ptr %s, ptr %call, i64 %next.call)
  call void @put(ptr %s, ptr %length, i64 %call.number)
  %new.call = icmp eq i64 %call.number, %next.call
  br i1 %new.call, label %enter, label %on
enter:
  %more.calls = add i64 %next.call, 1
  store i64 %more.calls, ptr %callcount
  %call.references = call i64 @references(ptr %call)
  %call.failed = call i32 %append.to(ptr %calls, ptr %call)
  %call.bad = icmp ne i32 %call.failed, 0
  br i1 %call.bad, label %error, label %entered
entered:
  %template = call ptr @slot(ptr %s, ptr %call, i64 23)
  %structure = call ptr @slot(ptr %s, ptr %template, i64 27)
  %structure.word = ptrtoint ptr %structure to i64
  call void @put(ptr %s, ptr %length, i64 %structure.word)
  %given = call ptr @slot(ptr %s, ptr %call, i64 24)
  %given.size.at = getelementptr i8, ptr %given, i64 16
  %given.size = load i64, ptr %given.size.at
  %given.items.at = getelementptr i8, ptr %given, i64 24
  %given.items = load ptr, ptr %given.items.at
  call void @put(ptr %s, ptr %length, i64 %given.size)
  br i1 %backward, label %results, label %sharing
results:
  %promises = call ptr @slot(ptr %s, ptr %call, i64 26)
  %promises.size.at = getelementptr i8, ptr %promises, i64 16
  %promises.size = load i64, ptr %promises.size.at
  %promises.items.at = getelementptr i8, ptr %promises, i64 24
  %promises.items = load ptr, ptr %promises.items.at
  %living = call i64 @alive(ptr %s, ptr %promises.items, i64 %promises.size)
  call void @put(ptr %s, ptr %length, i64 %living)
  br label %edges
sharing:
  call void @put(ptr %s, ptr %length, i64 %call.references)
  br label %edges

edges:
  ; Of a node its inputs, of a call what it was given - and what is computed with it.
  %edge.items = phi ptr [ %inputs.items, %references ], [ %inputs.items, %counted ], [ %given.items, %results ], [ %given.items, %sharing ]
  %edge.size = phi i64 [ %inputs.size, %references ], [ %inputs.size, %counted ], [ %given.size, %results ], [ %given.size, %sharing ]
  %shared.by = phi ptr [ null, %references ], [ null, %counted ], [ null, %results ], [ %call, %sharing ]
  %words = load i64, ptr %length
  %needed = add i64 %words, %edge.size
  %safe = add i64 %needed, 32
  %fits = icmp ult i64 %safe, %room
  %nodes = load i64, ptr %count
  %calls.now = load i64, ptr %callcount
  %things = add i64 %nodes, %calls.now
  %all.things = add i64 %things, %edge.size
  %few = icmp ult i64 %all.things, %half
  %possible = and i1 %fits, %few
  br i1 %possible, label %follow, label %bail
follow:
  %bad.edges = call i64 @visit(ptr %s, ptr %edge.items, i64 %edge.size, i1 0, ptr %order, ptr %count, ptr %length)
  %no.edges = icmp ne i64 %bad.edges, 0
  br i1 %no.edges, label %error, label %followed
followed:
  %alone = icmp eq ptr %shared.by, null
  br i1 %alone, label %on, label %joint
joint:
  %others = call ptr @slot(ptr %s, ptr %shared.by, i64 25)
  %others.size.at = getelementptr i8, ptr %others, i64 16
  %others.size = load i64, ptr %others.size.at
  %others.items = getelementptr i8, ptr %others, i64 24
  %before = load i64, ptr %count
  %with.others = add i64 %before, %others.size
  %few.others = icmp ult i64 %with.others, %half
  br i1 %few.others, label %join, label %bail
join:
  %bad.others = call i64 @visit(ptr %s, ptr %others.items, i64 %others.size, i1 1, ptr %order, ptr %count, ptr %length)
  %no.others = icmp ne i64 %bad.others, 0
  br i1 %no.others, label %error, label %joined
joined:
  %after = load i64, ptr %count
  call void @put(ptr %s, ptr %length, i64 %after)
  br label %on
on:
  %next = add i64 %i, 1
  br label %head
finish:
  %total = load i64, ptr %length
  %bytes = shl i64 %total, 3
  %result = call ptr %make.bytes(ptr %key.at, i64 %bytes)
  ret ptr %result
bail:
  %empty = call ptr %make.bytes(ptr %key.at, i64 0)
  ret ptr %empty
error:
  ret ptr null
}
