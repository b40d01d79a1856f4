import Foundation
import Tensors

/// The members of a ZIP file that are stored as they are, which is how PyTorch writes its files; 64-bit sizes included.
///
/// The file comes from anywhere: every offset and length in it is held against the file before it is used.
struct ZipArchive: Sendable {
  /// Where each member's bytes lie in the file, by its name.
  let members: [String: Range<Int>]

  private static let mostMembers = 1 << 18
  /// A line of the table of members takes 46 bytes and its name; theirs are short.
  private static let largestDirectory = 32 << 20

  init(_ file: InputFile) throws(UserError) {
    let directory = try Self.directory(file)
    var members: [String: Range<Int>] = [:]
    var spans: [(range: Range<Int>, name: String)] = []
    var reader = ByteReader(try file.bytes(at: directory.range.lowerBound, count: directory.range.count))
    func damaged(_ reason: String) -> UserError {
      UserError(.badData, at: .file(file.url), reason, remedy: "fetch or make the file again")
    }
    for _ in 0..<directory.count {
      guard let entry = Entry(&reader) else { throw damaged("its table of members is damaged") }
      // A folder, or a member without content, has nothing to find.
      guard entry.size > 0 else { continue }
      guard entry.method == 0, entry.storedSize == entry.size else {
        throw damaged("its member \(quoted(entry.name)) is compressed, which PyTorch's files are not")
      }
      guard entry.offset >= 0, entry.offset <= file.size - 30 else {
        throw damaged("its member \(quoted(entry.name)) lies outside")
      }
      // The local header repeats the name and has an extra field of its own length.
      var local = ByteReader(try file.bytes(at: entry.offset, count: 30))
      guard local.number(4) == 0x0403_4B50, local.skip(22), let name = local.number(2), let extra = local.number(2)
      else {
        throw damaged("its member \(quoted(entry.name)) has no header")
      }
      let start = entry.offset + 30 + name + extra
      guard start <= file.size, entry.size <= file.size - start else {
        throw damaged("its member \(quoted(entry.name)) ends behind the file")
      }
      guard members.updateValue(start..<start + entry.size, forKey: entry.name) == nil else {
        throw damaged("its member \(quoted(entry.name)) is there twice")
      }
      spans.append((entry.offset..<start + entry.size, entry.name))
    }
    // A small file could otherwise hold as much as it likes.
    spans.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (first, second) in zip(spans, spans.dropFirst()) where first.range.upperBound > second.range.lowerBound {
      throw damaged("its members \(quoted(first.name)) and \(quoted(second.name)) overlap")
    }
    self.members = members
  }

  /// One line of the table of members.
  private struct Entry {
    var name = ""
    var method = 0
    var storedSize = 0
    var size = 0
    var offset = 0

    init?(_ reader: inout ByteReader) {
      guard reader.number(4) == 0x0201_4B50, reader.skip(6), let method = reader.number(2), reader.skip(8),
        let storedSize = reader.number(4), let size = reader.number(4), let nameLength = reader.number(2),
        let extraLength = reader.number(2), let commentLength = reader.number(2), reader.skip(8),
        let offset = reader.number(4), let name = reader.text(nameLength), let extra = reader.bytes(extraLength),
        reader.skip(commentLength)
      else { return nil }
      (self.name, self.method, self.storedSize, self.size, self.offset) = (name, method, storedSize, size, offset)
      // Numbers that do not fit 32 bits stand in an extra field, in this order.
      var fields = ByteReader(extra)
      while let kind = fields.number(2), let length = fields.number(2), let field = fields.bytes(length) {
        guard kind == 1 else { continue }
        var wide = ByteReader(field)
        for path in [\Entry.size, \.storedSize, \.offset] where self[keyPath: path] == 0xFFFF_FFFF {
          guard let number = wide.number(8) else { return nil }
          self[keyPath: path] = number
        }
      }
    }
  }

  /// Where the table of members lies and how many there are: the file's end says so.
  private static func directory(_ file: InputFile) throws(UserError) -> (range: Range<Int>, count: Int) {
    let damaged = UserError(
      .badData, at: .file(file.url), "begins as a ZIP file and does not end as one",
      remedy: "fetch or copy the file again")
    // The end has a comment of at most 65,535 bytes behind it.
    let tailLength = min(file.size, 22 + 0xFFFF)
    let tailStart = file.size - tailLength
    let tail = try file.bytes(at: tailStart, count: tailLength)
    guard
      let end = stride(from: tail.count - 22, through: 0, by: -1).first(where: { place in
        tail[place...].starts(with: [0x50, 0x4B, 5, 6])
      })
    else { throw damaged }
    var reader = ByteReader(Array(tail[end...]))
    guard reader.skip(10), var count = reader.number(2), var size = reader.number(4), var offset = reader.number(4)
    else {
      throw damaged
    }
    if count == 0xFFFF || size == 0xFFFF_FFFF || offset == 0xFFFF_FFFF {
      // The 64-bit end, found by its locator right before the plain end.
      let locator = tailStart + end - 20
      guard locator >= 0 else { throw damaged }
      var place = ByteReader(try file.bytes(at: locator, count: 20))
      guard place.number(4) == 0x0706_4B50, place.skip(4), let wideEnd = place.number(8), wideEnd >= 0,
        wideEnd <= file.size - 56
      else { throw damaged }
      var wide = ByteReader(try file.bytes(at: wideEnd, count: 56))
      guard wide.number(4) == 0x0606_4B50, wide.skip(28), let wideCount = wide.number(8), let wideSize = wide.number(8),
        let wideOffset = wide.number(8)
      else { throw damaged }
      (count, size, offset) = (wideCount, wideSize, wideOffset)
    }
    guard (0...mostMembers).contains(count), (0...largestDirectory).contains(size), offset >= 0, offset <= file.size,
      size <= file.size - offset, count <= size / 46
    else { throw damaged }
    return (offset..<offset + size, count)
  }
}

/// Little-endian numbers and texts out of bytes, one after the other; nil where the bytes end.
struct ByteReader {
  private let source: [UInt8]
  private(set) var position = 0

  init(_ source: [UInt8]) { self.source = source }

  var isAtEnd: Bool { position >= source.count }

  /// An unsigned number of 1 to 8 bytes; nil, too, where it needs the 64th bit.
  mutating func number(_ count: Int) -> Int? {
    guard let bytes = bytes(count) else { return nil }
    let value = bytes.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
    return Int(exactly: value)
  }

  mutating func bytes(_ count: Int) -> [UInt8]? {
    guard count >= 0, count <= source.count - position else { return nil }
    defer { position += count }
    return Array(source[position..<position + count])
  }

  mutating func text(_ count: Int) -> String? {
    bytes(count).flatMap { String(validating: $0, as: UTF8.self) }
  }

  /// The text up to the next line feed, which is passed over.
  mutating func line() -> String? {
    guard let end = source[position...].prefix(1024).firstIndex(of: 0x0A) else { return nil }
    defer { position = end + 1 }
    return String(validating: source[position..<end], as: UTF8.self)
  }

  mutating func skip(_ count: Int) -> Bool {
    guard count >= 0, count <= source.count - position else { return false }
    position += count
    return true
  }
}
