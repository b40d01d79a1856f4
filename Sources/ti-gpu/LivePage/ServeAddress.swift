import FlyingFox
import FlyingSocks
import Foundation
import Tensors

/// `--serve` and `--serve-host`: where the live page is.
struct ServeAddress: Sendable, Equatable {
  /// An IP address.
  let host: String
  let port: UInt16

  static let loopback = "127.0.0.1"

  /// - Throws: `UserError(.usage)` for a host that is no IP address or a port that is none.
  init(host: String?, port: Int) throws(UserError) {
    let host = host.map { $0 == "localhost" ? Self.loopback : $0 } ?? Self.loopback
    guard Self.isIPv4(host) || Self.isIPv6(host) else {
      throw UserError(
        .usage, at: .option("serve-host"), "'\(host)' is no IP address",
        remedy: "give one of this machine's, 0.0.0.0 for all of them, or leave the option out for 127.0.0.1")
    }
    guard let number = UInt16(exactly: port) else {
      throw UserError(
        .usage, at: .option("serve"), "\(port) is no port", remedy: "give one between 0 (any free one) and 65535")
    }
    self.host = host
    self.port = number
  }

  /// Whether only this machine reaches it.
  var isLoopback: Bool { host == "::1" || (Self.isIPv4(host) && host.hasPrefix("127.")) }

  /// As a server's configuration has it.
  func configuration() throws -> HTTPServer.Configuration {
    if Self.isIPv6(host) {
      let address: sockaddr_in6 = try .inet6(ip6: host, port: port)
      return HTTPServer.Configuration(address: address, logger: .disabled)
    }
    let address: sockaddr_in = try .inet(ip4: host, port: port)
    return HTTPServer.Configuration(address: address, logger: .disabled)
  }

  static func isIPv4(_ text: String) -> Bool {
    var address = in_addr()
    return inet_pton(AF_INET, text, &address) == 1
  }

  static func isIPv6(_ text: String) -> Bool {
    var address = in6_addr()
    return inet_pton(AF_INET6, text, &address) == 1
  }
}
