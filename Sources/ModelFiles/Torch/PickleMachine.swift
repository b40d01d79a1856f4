import Tensors

/// Reads a pickle without running any of it: the opcodes that PyTorch's files use, over values that are nothing but data.
///
/// Containers live in one table and values name them by their number, so that nesting, however deep, costs no stack, and cycles
/// no memory. Depth, count and size of what comes out are bounded.
struct PickleMachine {
  /// Why a pickle was refused, and what to do; the file's name is added by the caller.
  struct Refusal: Error {
    let reason: String
    var remedy = "fetch or make the file again"
  }

  private enum Item {
    case value(PickleValue)
    case list(Int)
    case dictionary(Int)
    case name(PickleName)
    case storage(name: String, StoredType, count: Int)
    case mark

    var isMark: Bool {
      if case .mark = self { return true }
      return false
    }
  }

  private var reader: ByteReader
  private var stack: [Item] = []
  private var memo: [Int: Item] = [:]
  private var lists: [[Item]] = []
  private var dictionaries: [[(key: Item, value: Item)]] = []
  private var steps = 0
  /// Items put into containers: a pickle can ask for the same ones again and again.
  private var items = 0

  // A checkpoint of four thousand tensors, with what its optimizer remembers, takes half of these.
  private static let mostSteps = 1_000_000
  private static let mostItems = 1_000_000
  private static let mostValues = 250_000
  private static let deepest = 64

  /// Reads the pickle that begins at the reader's position.
  ///
  /// - Returns: its value, and the reader behind it.
  static func read(_ reader: ByteReader) throws(Refusal) -> (value: PickleValue, rest: ByteReader) {
    var machine = PickleMachine(reader: reader)
    let item = try machine.run()
    try machine.checkSize(of: item)
    return (machine.plain(item), machine.reader)
  }

  private init(reader: ByteReader) { self.reader = reader }

  private mutating func run() throws(Refusal) -> Item {
    while true {
      steps += 1
      guard steps <= Self.mostSteps else { throw Refusal(reason: "its pickle is too long") }
      guard let opcode = reader.number(1) else { throw Refusal(reason: "its pickle ends too early") }
      switch UInt8(opcode) {
      case 0x80: _ = try number(1)  // PROTO
      case 0x95: _ = try number(8)  // FRAME
      case UInt8(ascii: "."): return try pop()
      case UInt8(ascii: "("): stack.append(.mark)
      case UInt8(ascii: "N"): push(.none)
      case 0x88: push(.flag(true))
      case 0x89: push(.flag(false))
      case UInt8(ascii: "K"): push(.integer(try number(1)))
      case UInt8(ascii: "M"): push(.integer(try number(2)))
      case UInt8(ascii: "J"): push(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))
      case 0x8A: push(try long())
      case UInt8(ascii: "G"): push(.number(try double()))
      case UInt8(ascii: "X"): push(.text(try text(try number(4))))
      case 0x8C: push(.text(try text(try number(1))))
      case 0x8D: push(.text(try text(try number(8))))
      case UInt8(ascii: "U"): push(.text(try text(try number(1))))
      case UInt8(ascii: "T"): push(.text(try text(try number(4))))
      case UInt8(ascii: "C"): push(.bytes(try bytes(try number(1))))
      case UInt8(ascii: "B"): push(.bytes(try bytes(try number(4))))
      case UInt8(ascii: "]"), 0x8F: push(list: [])  // EMPTY_LIST, EMPTY_SET
      case UInt8(ascii: ")"): push(list: [])
      case UInt8(ascii: "}"): push(dictionary: [])
      case UInt8(ascii: "t"), UInt8(ascii: "l"): push(list: try popToMark())
      case 0x85...0x87: push(list: try pop(count: opcode - 0x84))  // TUPLE1 to TUPLE3
      case UInt8(ascii: "d"): push(dictionary: try pairs(popToMark()))
      case UInt8(ascii: "a"):
        let item = try pop()
        try append([item])
      case UInt8(ascii: "e"), 0x90: try append(popToMark())  // APPENDS, ADDITEMS
      case UInt8(ascii: "s"):
        let (value, key) = (try pop(), try pop())
        try set([(key, value)])
      case UInt8(ascii: "u"): try set(pairs(popToMark()))
      case UInt8(ascii: "c"):
        guard let module = reader.line(), let name = reader.line() else {
          throw Refusal(reason: "its pickle ends too early")
        }
        try push(module: module, name: name)
      case 0x93:  // STACK_GLOBAL
        guard case .value(.text(let name)) = try pop(), case .value(.text(let module)) = try pop() else {
          throw Refusal(reason: "its pickle names something by what is no text")
        }
        try push(module: module, name: name)
      case UInt8(ascii: "R"), 0x81: try call()  // REDUCE, NEWOBJ
      case UInt8(ascii: "b"): try build()
      case UInt8(ascii: "Q"): try persistent()
      case UInt8(ascii: "q"): memo[try number(1)] = try top()
      case UInt8(ascii: "r"): memo[try number(4)] = try top()
      case 0x94: memo[memo.count] = try top()
      case UInt8(ascii: "h"): try recall(number(1))
      case UInt8(ascii: "j"): try recall(number(4))
      case UInt8(ascii: "0"): _ = try pop()
      default: throw Refusal(reason: "its pickle uses opcode \(opcode), which PyTorch's files do not")
      }
    }
  }

  // MARK: reading

  private mutating func number(_ count: Int) throws(Refusal) -> Int {
    guard let number = reader.number(count) else { throw Refusal(reason: "its pickle ends too early") }
    return number
  }

  private mutating func bytes(_ count: Int) throws(Refusal) -> [UInt8] {
    guard let bytes = reader.bytes(count) else { throw Refusal(reason: "its pickle ends too early") }
    return bytes
  }

  /// Text of UTF-8; what old files hold of Latin-1 is no name that matters.
  private mutating func text(_ count: Int) throws(Refusal) -> String {
    String(decoding: try bytes(count), as: UTF8.self)
  }

  /// A two's complement number of any length; one beyond 64 bits is a constant of the format alone.
  private mutating func long() throws(Refusal) -> PickleValue {
    let bytes = try bytes(try number(1))
    guard bytes.count <= 8 else { return .opaque("a long number") }
    let isNegative = bytes.last.map { $0 >= 0x80 } ?? false
    var value: UInt64 = isNegative ? .max : 0
    for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
    return .integer(Int(Int64(bitPattern: value)))
  }

  private mutating func double() throws(Refusal) -> Double {
    Double(bitPattern: try bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
  }

  // MARK: the stack

  private mutating func push(_ value: PickleValue) { stack.append(.value(value)) }

  private mutating func push(list: [Item]) {
    lists.append(list)
    stack.append(.list(lists.count - 1))
  }

  private mutating func push(dictionary: [(key: Item, value: Item)]) {
    dictionaries.append(dictionary)
    stack.append(.dictionary(dictionaries.count - 1))
  }

  private mutating func push(module: String, name: String) throws(Refusal) {
    guard let known = PickleName(module: module, name: name) else {
      throw Refusal(
        reason: "its pickle wants to run \(quoted("\(module).\(name)")), which is no tensor's: refused",
        remedy: "name a file that holds tensors alone, such as a safetensors file")
    }
    stack.append(.name(known))
  }

  private func top() throws(Refusal) -> Item {
    guard let item = stack.last, !item.isMark else { throw Refusal(reason: "its pickle takes what it has not put") }
    return item
  }

  private mutating func pop() throws(Refusal) -> Item {
    let item = try top()
    stack.removeLast()
    return item
  }

  private mutating func pop(count: Int) throws(Refusal) -> [Item] {
    var items: [Item] = []
    for _ in 0..<count { items.append(try pop()) }
    return items.reversed()
  }

  private mutating func popToMark() throws(Refusal) -> [Item] {
    guard let mark = stack.lastIndex(where: \.isMark) else {
      throw Refusal(reason: "its pickle takes what it has not put")
    }
    let items = Array(stack[(mark + 1)...])
    stack.removeSubrange(mark...)
    return items
  }

  private mutating func recall(_ key: Int) throws(Refusal) {
    guard let item = memo[key] else { throw Refusal(reason: "its pickle recalls what it has not kept") }
    stack.append(item)
  }

  private func pairs(_ items: [Item]) throws(Refusal) -> [(key: Item, value: Item)] {
    guard items.count % 2 == 0 else { throw Refusal(reason: "its pickle has a key without a value") }
    return stride(from: 0, to: items.count, by: 2).map { (items[$0], items[$0 + 1]) }
  }

  private mutating func append(_ items: [Item]) throws(Refusal) {
    guard case .list(let list) = try top() else { throw Refusal(reason: "its pickle appends to what is no list") }
    try count(items.count)
    lists[list] += items
  }

  private mutating func count(_ more: Int) throws(Refusal) {
    items += more
    guard items <= Self.mostItems else { throw Refusal(reason: "its pickle is too large") }
  }

  private mutating func set(_ pairs: [(key: Item, value: Item)]) throws(Refusal) {
    switch try top() {
    case .dictionary(let dictionary):
      try count(pairs.count)
      dictionaries[dictionary] += pairs
    case .value(.opaque): break
    default: throw Refusal(reason: "its pickle sets items of what is no dictionary")
    }
  }

  // MARK: names at work

  /// A known name called with arguments.
  private mutating func call() throws(Refusal) {
    guard case .list(let list) = try pop(), case .name(let name) = try pop() else {
      throw Refusal(reason: "its pickle calls what is no name")
    }
    let arguments = lists[list]
    switch name {
    case .orderedDictionary, .parameterDictionary:
      guard arguments.isEmpty else {
        guard case .list(let items)? = arguments.first else {
          throw Refusal(reason: "its pickle fills a dictionary oddly")
        }
        try count(lists[items].count)
        var pairs: [(key: Item, value: Item)] = []
        for case .list(let pair) in lists[items] where lists[pair].count == 2 {
          pairs.append((lists[pair][0], lists[pair][1]))
        }
        return push(dictionary: pairs)
      }
      push(dictionary: [])
    case .set:
      guard arguments.count <= 1, case .list(let elements)? = arguments.first ?? .list(list) else {
        throw Refusal(reason: "its pickle fills a set oddly")
      }
      try count(lists[elements].count)
      push(list: lists[elements])
    case .rebuildTensor: push(.tensor(try tensor(arguments)))
    case .rebuildParameter:
      guard let first = arguments.first, case .value(.tensor) = first else {
        throw Refusal(reason: "its pickle makes a parameter of what is no tensor")
      }
      stack.append(first)
    case .ignored(let name): push(.opaque(name))
    case .storage: throw Refusal(reason: "its pickle makes a storage of its own")
    }
  }

  /// `(storage, offset, size, stride, ...)`.
  private func tensor(_ arguments: [Item]) throws(Refusal) -> PickledTensor {
    guard arguments.count >= 4, case .storage(let name, let type, let count) = arguments[0],
      case .value(.integer(let offset)) = arguments[1], case .list(let size) = arguments[2],
      case .list(let stride) = arguments[3]
    else { throw Refusal(reason: "its pickle describes a tensor oddly") }
    func integers(_ list: Int) throws(Refusal) -> [Int] {
      var numbers: [Int] = []
      for item in lists[list] {
        guard case .value(.integer(let number)) = item, number >= 0 else {
          throw Refusal(reason: "its pickle has a tensor of impossible size")
        }
        numbers.append(number)
      }
      return numbers
    }
    let (dimensions, strides) = (try integers(size), try integers(stride))
    guard dimensions.count == strides.count, dimensions.count <= 8, offset >= 0 else {
      throw Refusal(reason: "its pickle has a tensor of impossible size")
    }
    // The last element lies in the storage, and no product overflows on the way.
    var last = offset
    var total = 1
    for (dimension, stride) in zip(dimensions, strides) {
      let (steps, far) = max(dimension - 1, 0).multipliedReportingOverflow(by: stride)
      let (sum, over) = last.addingReportingOverflow(steps)
      let (product, large) = total.multipliedReportingOverflow(by: max(dimension, 1))
      guard !far, !over, !large else { throw Refusal(reason: "its pickle has a tensor of impossible size") }
      (last, total) = (sum, product)
    }
    // Views that show an element many times over are no weights, and could be as large as they like.
    guard dimensions.contains(0) || (last < count && total <= count) else {
      throw Refusal(reason: "its pickle has a tensor that is larger than its storage")
    }
    return PickledTensor(
      storage: name, type: type, storageCount: count, offset: offset, dimensions: dimensions, strides: strides)
  }

  /// State laid over an object: of a container of parameters, its parameters; nothing else of use has any.
  private mutating func build() throws(Refusal) {
    let state = try pop()
    guard case .dictionary(let target) = try top() else {
      guard case .value(.opaque) = try top() else { throw Refusal(reason: "its pickle gives state to what has none") }
      return
    }
    guard case .dictionary(let fields) = state else { return }
    try count(dictionaries[fields].count)
    for (key, value) in dictionaries[fields] {
      if case .value(.text("_parameters")) = key, case .dictionary(let parameters) = value {
        try count(dictionaries[parameters].count)
        dictionaries[target] += dictionaries[parameters]
      }
    }
  }

  /// `('storage', type, name, location, count, ...)`: the one thing that PyTorch keeps outside the pickle.
  private mutating func persistent() throws(Refusal) {
    guard case .list(let list) = try pop(), lists[list].count >= 5, case .value(.text("storage")) = lists[list][0],
      case .name(.storage(let type)) = lists[list][1], case .value(.text(let name)) = lists[list][2],
      case .value(.integer(let count)) = lists[list][4], count >= 0
    else { throw Refusal(reason: "its pickle refers to what is no storage") }
    stack.append(.storage(name: name, type, count: count))
  }

  // MARK: what came of it

  /// Throws where that is deeper or larger than what a file says: before it is made, since a list may hold another many times over.
  private func checkSize(of item: Item) throws(Refusal) {
    let refusal = Refusal(reason: "its pickle is too deep or too large")
    /// By container, the values in it and how deep they go; dictionaries are numbered behind the lists.
    var known: [Int: (values: Int, height: Int)] = [:]
    func measure(_ item: Item, depth: Int) throws(Refusal) -> (values: Int, height: Int) {
      let (container, contents): (Int, [Item])
      switch item {
      case .list(let list): (container, contents) = (list, lists[list])
      case .dictionary(let dictionary):
        (container, contents) = (lists.count + dictionary, dictionaries[dictionary].flatMap { [$0.key, $0.value] })
      default: (container, contents) = (-1, [])
      }
      var (values, height) = (1, 0)
      if let size = known[container] {
        (values, height) = size
      } else {
        // A list in itself ends here as well.
        guard depth < Self.deepest || contents.isEmpty else { throw refusal }
        for element in contents {
          let size = try measure(element, depth: depth + 1)
          (values, height) = (values + size.values, max(height, size.height + 1))
          guard values <= Self.mostValues else { throw refusal }
        }
        if container >= 0 { known[container] = (values, height) }
      }
      guard depth + height <= Self.deepest else { throw refusal }
      return (values, height)
    }
    _ = try measure(item, depth: 0)
  }

  private func plain(_ item: Item) -> PickleValue {
    switch item {
    case .value(let value): value
    case .name(.ignored(let name)): .opaque(name)
    case .name, .storage, .mark: .opaque("a name")
    case .list(let list): .list(lists[list].map(plain))
    case .dictionary(let dictionary):
      .dictionary(dictionaries[dictionary].map { (plain($0.key), plain($0.value)) })
    }
  }
}
