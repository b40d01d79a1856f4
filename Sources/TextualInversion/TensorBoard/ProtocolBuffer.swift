import Foundation

/// A message in the wire format of protocol buffers, its fields in the order in which they are added. As the third version has
/// it, numbers that are zero are left out unless they are one of several a field can be.
struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  private enum WireType: UInt64 {
    case varint = 0
    case fixed64 = 1
    case lengthDelimited = 2
    case fixed32 = 5
  }

  mutating func add(_ field: Int, _ value: Int64) {
    if value == 0 { return }
    tag(field, .varint)
    varint(UInt64(bitPattern: value))
  }

  mutating func add(_ field: Int, _ value: Double) {
    if value.bitPattern == 0 { return }
    tag(field, .fixed64)
    append(value.bitPattern)
  }

  /// A number that is one of several things the field's message can be, so that zero is written as well.
  mutating func add(choice field: Int, _ value: Float) {
    tag(field, .fixed32)
    append(value.bitPattern)
  }

  mutating func add(_ field: Int, _ value: some Collection<UInt8>) {
    tag(field, .lengthDelimited)
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  mutating func add(_ field: Int, _ value: String) { add(field, Array(value.utf8)) }
  mutating func add(_ field: Int, _ value: ProtocolBuffer) { add(field, value.bytes) }

  private mutating func tag(_ field: Int, _ type: WireType) { varint(UInt64(field) << 3 | type.rawValue) }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
