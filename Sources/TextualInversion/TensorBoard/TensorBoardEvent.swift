import Foundation
import ModelFiles

/// One entry of a TensorBoard event file: `Event` of TensorFlow's `event.proto`, what this program writes of it.
struct TensorBoardEvent {
  /// `Summary.Value` of `summary.proto`.
  enum Value {
    case scalar(tag: String, Float)
    /// A PNG file's bytes.
    case image(tag: String, width: Int, height: Int, png: Data)
  }

  enum Content {
    /// What a file begins with.
    case fileVersion
    /// What follows replaces everything that earlier files have from this step on.
    case restart
    case summary([Value])
  }

  /// In seconds since 1970.
  let wallTime: Double
  let step: Int
  let content: Content

  /// The entry as a message.
  var message: ProtocolBuffer {
    var event = ProtocolBuffer()
    event.add(1, wallTime)
    event.add(2, Int64(step))
    switch content {
    case .fileVersion: event.add(3, "brain.Event:2")
    case .summary(let values):
      var summary = ProtocolBuffer()
      for value in values { summary.add(1, value.message) }
      event.add(5, summary)
    case .restart:
      var log = ProtocolBuffer()
      // SessionLog.START
      log.add(1, Int64(1))
      event.add(7, log)
    }
    return event
  }

  /// The entry as a record of a TFRecord file: length and content, each with its masked checksum.
  var record: Data {
    let content = message.bytes
    let length = withUnsafeBytes(of: UInt64(content.count).littleEndian, Array.init)
    var record = Data(length)
    record.append(contentsOf: Self.maskedChecksum(length))
    record.append(contentsOf: content)
    record.append(contentsOf: Self.maskedChecksum(content))
    return record
  }

  private static func maskedChecksum(_ bytes: [UInt8]) -> [UInt8] {
    let checksum = CRC32.castagnoli.checksum(bytes)
    return withUnsafeBytes(of: ((checksum >> 15 | checksum << 17) &+ 0xA282_EAD8).littleEndian, Array.init)
  }
}

extension TensorBoardEvent.Value {
  fileprivate var message: ProtocolBuffer {
    var value = ProtocolBuffer()
    switch self {
    case .scalar(let tag, let number):
      value.add(1, tag)
      value.add(choice: 2, number)
    case .image(let tag, let width, let height, let png):
      var image = ProtocolBuffer()
      image.add(1, Int64(height))
      image.add(2, Int64(width))
      // Colorspace: RGB.
      image.add(3, Int64(3))
      image.add(4, png)
      value.add(1, tag)
      value.add(4, image)
    }
    return value
  }
}
