import Foundation

/// Where a request says that it comes from and goes to: what tells the live page's own requests from those that another site's page
/// makes in the same browser.
struct RequestOrigin: Sendable, Equatable {
  /// The `Host` header.
  let host: String?
  /// The `Origin` header, which browsers add to whatever could change something.
  let origin: String?
  /// The `Sec-Fetch-Site` header.
  let site: String?

  /// Whether the request is to this server under a name that no other site can have, and not made by another site's page.
  ///
  /// A name that its owner points at this machine (DNS rebinding) is told by the `Host` header: what is taken is an IP address,
  /// `localhost`, and the machine's own name.
  func isOwn(port: UInt16, machine: String = ProcessInfo.processInfo.hostName) -> Bool {
    guard let host, let (name, hostPort) = Self.parts(host), hostPort == port else { return false }
    guard
      name == "localhost" || name == machine.lowercased() || ServeAddress.isIPv4(name) || ServeAddress.isIPv6(name)
    else { return false }
    if let origin, origin.lowercased() != "http://" + host.lowercased() { return false }
    return site == nil || site == "same-origin" || site == "none"
  }

  /// `[::1]:8080` as `::1` and 8080; a host without a port has 80.
  private static func parts(_ host: String) -> (name: String, port: UInt16)? {
    let host = host.lowercased()
    var name = Substring(host)
    var port: UInt16 = 80
    if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") {
      guard let number = UInt16(host[host.index(after: colon)...]) else { return nil }
      port = number
      name = host[..<colon]
    }
    if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
    return name.isEmpty ? nil : (String(name), port)
  }
}
