/// A cyclic redundancy check of 32 bits, its bits reflected, begun and ended by inversion.
package struct CRC32: Sendable {
  /// What ZIP and PNG files carry: ISO 3309.
  package static let iso = CRC32(reflectedPolynomial: 0xEDB8_8320)
  /// What TFRecord files carry: Castagnoli's, of iSCSI (RFC 3720).
  package static let castagnoli = CRC32(reflectedPolynomial: 0x82F6_3B78)

  private let table: [UInt32]

  private init(reflectedPolynomial: UInt32) {
    table = (0..<256).map { byte in
      (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? reflectedPolynomial ^ (crc >> 1) : crc >> 1 }
    }
  }

  package func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    ~table.withUnsafeBufferPointer { table in
      bytes.reduce(~0 as UInt32) { crc, byte in table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
    }
  }

  package func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes(checksum) }
}
