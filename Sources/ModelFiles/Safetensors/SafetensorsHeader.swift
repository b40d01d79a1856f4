import Tensors

/// The header of a safetensors file: a JSON object of tensors and, under `__metadata__`, of strings.
///
/// It comes from anywhere, so nothing in it is believed: lengths are checked against the file, sizes for overflow,
/// and the tensors must tile the data without a gap or an overlap, as the format demands.
struct SafetensorsHeader: Sendable {
  struct Entry: Sendable {
    let type: StoredType
    let shape: Shape
    /// Where the tensor's bytes lie, counted from the end of the header.
    let offsets: Range<Int>
  }

  /// What the format allows a header to take.
  static let lengthLimit = 100_000_000
  /// Tensors, and strings of the metadata: the largest models have some thousands.
  private static let mostMembers = 100_000

  private(set) var entries: [String: Entry] = [:]
  private(set) var metadata: [String: String] = [:]

  typealias Malformed = JSONText.Malformed

  /// Reads the JSON text of a header whose data takes `dataSize` bytes.
  init(_ json: [UInt8], dataSize: Int) throws(Malformed) {
    var text = JSONText(json)
    var keys: Set<String> = []
    try text.object { (key: String, text: inout JSONText) throws(Malformed) in
      guard keys.insert(key).inserted else { throw Malformed(reason: "\(quoted(key)) stands in the header twice") }
      guard keys.count <= Self.mostMembers else {
        throw Malformed(reason: "the header has over \(Self.mostMembers) tensors")
      }
      if key == "__metadata__" {
        try text.object { (key: String, text: inout JSONText) throws(Malformed) in
          guard metadata.updateValue(try text.string(), forKey: key) == nil else {
            throw Malformed(reason: "\(quoted(key)) stands in the metadata twice")
          }
          guard metadata.count <= Self.mostMembers else {
            throw Malformed(reason: "the metadata has over \(Self.mostMembers) strings")
          }
        }
      } else {
        entries[key] = try Self.entry(key, &text)
      }
    }
    try text.end()
    try checkTiling(dataSize)
  }

  private static func entry(_ name: String, _ text: inout JSONText) throws(Malformed) -> Entry {
    var type: StoredType?
    var dimensions: [Int]?
    var offsets: [Int]?
    try text.object { (key: String, text: inout JSONText) throws(Malformed) in
      switch key {
      case "dtype" where type == nil:
        let word = try text.string()
        guard let known = StoredType(rawValue: word) else {
          throw Malformed(reason: "\(quoted(name)) is of the unknown type \(quoted(word))")
        }
        type = known
      case "shape" where dimensions == nil: dimensions = try text.integers(limit: 64)
      case "data_offsets" where offsets == nil: offsets = try text.integers(limit: 2)
      default: throw Malformed(reason: "\(quoted(name)) has \(quoted(key)), which is unknown or doubled")
      }
    }
    guard let type, let dimensions, let offsets, offsets.count == 2 else {
      throw Malformed(reason: "\(quoted(name)) lacks its type, shape or offsets")
    }
    guard offsets[0] <= offsets[1] else { throw Malformed(reason: "\(quoted(name)) ends before it begins") }
    // Axes of length 0 count as 1 here: no product of some of the axes may overflow either.
    var bound = type.size
    for dimension in dimensions {
      let (product, overflow) = bound.multipliedReportingOverflow(by: max(dimension, 1))
      guard !overflow else { throw Malformed(reason: "\(quoted(name)) has the impossible shape \(dimensions)") }
      bound = product
    }
    let shape = Shape(dimensions)
    guard shape.count * type.size == offsets[1] - offsets[0] else {
      throw Malformed(
        reason: "\(quoted(name)) claims \(offsets[1] - offsets[0]) bytes, but \(type.rawValue) \(shape) takes "
          + "\(shape.count * type.size)")
    }
    return Entry(type: type, shape: shape, offsets: offsets[0]..<offsets[1])
  }

  /// The tensors, end to end, are the data: no gap, no overlap, nothing beyond the end and nothing left over.
  private func checkTiling(_ dataSize: Int) throws(Malformed) {
    let ordered = entries.sorted {
      ($0.value.offsets.lowerBound, $0.value.offsets.upperBound, $0.key)
        < ($1.value.offsets.lowerBound, $1.value.offsets.upperBound, $1.key)
    }
    var end = 0
    for (name, entry) in ordered {
      if entry.offsets.upperBound > dataSize {
        throw Malformed(
          reason: "\(quoted(name)) should end at byte \(entry.offsets.upperBound) of the data, but the file has only "
            + "\(dataSize)")
      }
      guard entry.offsets.lowerBound == end else {
        let what = entry.offsets.lowerBound < end ? "overlaps another tensor" : "leaves a gap before it"
        throw Malformed(reason: "\(quoted(name)) \(what)")
      }
      end = entry.offsets.upperBound
    }
    guard end == dataSize else {
      throw Malformed(reason: "\(dataSize - end) bytes at the end belong to no tensor")
    }
  }
}
