import DemoModel
import Foundation
import ModelFiles
import TestSupport
import Testing

@testable import ti_gpu

/// The live page as a browser, or another site's page in it, would ask for it: plain sockets, HTTP/1.1 by hand.
@Suite(.serialized) struct LivePageTests {
  private struct Answer {
    let status: Int
    let headers: [String: String]
    let body: String
  }

  /// A socket of this machine, connected or, with port 0, bound to a free port.
  private static func withSocket<R>(port: UInt16, _ body: (Int32, UInt16) throws -> R) throws -> R {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let done = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        port == 0
          ? bind(descriptor, $0, length) + getsockname(descriptor, $0, &length) : connect(descriptor, $0, length)
      }
    }
    // No failure of the test: a program that has just been started does not listen yet.
    guard done == 0 else { throw POSIXError(.ECONNREFUSED) }
    return try body(descriptor, UInt16(bigEndian: address.sin_port))
  }

  private static func ask(
    _ port: UInt16, _ request: String, host: String? = nil, _ headers: [String: String] = [:]
  ) throws -> Answer {
    try withSocket(port: port) { descriptor, _ in
      let lines =
        ["\(request) HTTP/1.1", "Host: \(host ?? "127.0.0.1:\(port)")", "Connection: close", "Content-Length: 0"]
        + headers.map { "\($0.key): \($0.value)" }
      let text = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
      try #require(write(descriptor, text, text.count) == text.count)
      var data = Data()
      var buffer = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count <= 0 { break }
        data.append(contentsOf: buffer[..<count])
      }
      let parts = String(decoding: data, as: UTF8.self).components(separatedBy: "\r\n\r\n")
      let head = parts[0].components(separatedBy: "\r\n")
      let status = try #require(head[0].split(separator: " ").dropFirst().first.flatMap { Int($0) })
      let fields = head.dropFirst().compactMap { line -> (String, String)? in
        line.firstIndex(of: ":").map {
          (line[..<$0].lowercased(), line[line.index(after: $0)...].trimmingCharacters(in: .whitespaces))
        }
      }
      return Answer(
        status: status, headers: Dictionary(fields) { $1 }, body: parts.dropFirst().joined(separator: "\r\n\r\n"))
    }
  }

  @Test func theRunIsSeenAndObeys() throws {
    try TemporaryFolder.with { parent in
      let folder = parent.appendingPathComponent("run")
      let port = try Self.withSocket(port: 0) { $1 }
      var failures: [String] = []
      func expect(_ condition: Bool, _ what: String) { if !condition { failures.append(what) } }
      let result = try Program.run([
        "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<toy>", "--initializer", "cat",
        "--output", folder.path, "--steps", "100000", "--resolution", "32", "--batch-size", "1", "--device", "cpu",
        "--serve", "\(port)",
      ]) { process in
        defer { process.terminate() }
        do { try talk(port, folder, expect) } catch { failures.append("\(error)") }
        // Stopping takes a step, a checkpoint and a page.
        for _ in 0..<300 where process.isRunning { usleep(100_000) }
        expect(!process.isRunning, "the run goes on")
      }
      #expect(failures.isEmpty, "\(failures) \(result.error)")
      #expect(
        result.code == 130 && result.error.contains("The run is at http://127.0.0.1:\(port)\n"), "\(result.error)")
      #expect(folder.appendingPathComponent("report.html").isThere)
    }
  }

  private func talk(_ port: UInt16, _ folder: URL, _ expect: (Bool, String) -> Void) throws {
    // Until it trains.
    var page: Answer?
    for _ in 0..<600 where page?.body.contains("name=\"token\"") != true {
      usleep(100_000)
      page = try? Self.ask(port, "GET /")
    }
    let html = try #require(page).body
    let token = try #require(
      html.components(separatedBy: "name=\"token\" content=\"").last?.split(separator: "\"").first)
    let policy = page?.headers["content-security-policy"] ?? ""
    expect(policy.contains("default-src 'none'") && policy.contains("script-src 'nonce-"), "policy \(policy)")
    let shown = html.components(separatedBy: "name=\"revision\" content=\"").last?.split(separator: "\"").first
    expect(shown.flatMap { Int($0) } != nil, "the page does not say how new it is")
    expect(html.contains("Learning &lt;toy&gt;") && html.contains("data-action=\"stop\""), "page")

    // Another site's page: its own name for this machine, its own origin, or a form without the token.
    let refused: [(String, String?, [String: String])] = [
      ("GET /", "evil.example:\(port)", [:]), ("GET /", "127.0.0.1", [:]), ("GET /", "127.0.0.1:1", [:]),
      ("GET /content", nil, ["Origin": "http://evil.example"]), ("GET /", nil, ["Sec-Fetch-Site": "cross-site"]),
      ("POST /stop", nil, [:]), ("POST /stop", nil, ["X-Token": "0-0"]),
      ("POST /stop", nil, ["X-Token": "\(token)", "Origin": "http://evil.example"]),
      ("POST /stop", nil, ["X-Token": "\(token)", "Origin": "null"]),
      ("POST /stop", "evil.example:\(port)", ["X-Token": "\(token)"]),
    ]
    for (request, host, headers) in refused {
      let answer = try Self.ask(port, request, host: host, headers)
      expect(answer.status == 403, "\(request) \(host ?? "") \(headers): \(answer.status)")
      expect(!answer.body.contains(token), "\(request) gives the token away")
    }
    for (request, status) in [
      ("GET /stop", 404), ("GET /training.json", 404), ("GET /previews/../training.json", 404),
      ("GET /pictures/..%2Ftraining.json", 404), ("GET /live.js", 200), ("PUT /stop", 405),
    ] {
      let answer = try Self.ask(port, request, ["X-Token": "\(token)"])
      expect(answer.status == status, "\(request): \(answer.status)")
    }
    expect(try Self.ask(port, "POST /nothing", ["X-Token": "\(token)"]).status == 404, "an action that is none")

    let own = ["X-Token": "\(token)", "Origin": "http://localhost:\(port)", "Sec-Fetch-Site": "same-origin"]
    for action in ["checkpoint", "preview"] {
      expect(try Self.ask(port, "POST /\(action)", host: "localhost:\(port)", own).status == 204, action)
    }
    func wait(_ what: String, _ condition: () throws -> Bool) rethrows {
      for _ in 0..<600 {
        if try condition() { return }
        usleep(100_000)
      }
      expect(false, "no \(what)")
    }
    func names(_ name: String) -> [String] {
      (try? FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent(name).path)) ?? []
    }
    wait("checkpoint") { names("checkpoints").contains { $0.hasSuffix(".safetensors") } }
    expect(try Self.ask(port, "GET /pictures/01.png").status == 200, "a picture")
    wait("preview") { names("previews").filter { $0.hasSuffix(".png") }.count == 2 }
    var revision = ""
    try wait("content") {
      let answer = try Self.ask(port, "GET /content")
      revision = answer.headers["x-revision"] ?? ""
      return answer.status == 200 && answer.body.contains("src=\"/previews/step-000000-1.png\"")
    }
    expect(Int(revision) != nil, "revision \(revision)")
    expect(try Self.ask(port, "POST /stop", host: "localhost:\(port)", own).status == 204, "stop")
  }

  @Test func requestsFromElsewhereAreTold() {
    func isOwn(_ host: String?, origin: String? = nil, site: String? = nil) -> Bool {
      RequestOrigin(host: host, origin: origin, site: site).isOwn(port: 8080, machine: "Workshop")
    }
    for host in [
      "127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "192.168.1.2:8080", "workshop:8080",
    ] {
      #expect(isOwn(host) && isOwn(host, origin: "http://" + host, site: "same-origin"), "\(host)")
      #expect(!isOwn(host, origin: "https://" + host) && !isOwn(host, origin: "http://evil.example"), "\(host)")
      #expect(!isOwn(host, site: "cross-site") && !isOwn(host, site: "same-site"), "\(host)")
    }
    for host in [
      nil, "", ":8080", "localhost", "localhost:80", "localhost:8080:8080", "evil.example:8080",
      "127.0.0.1.evil.example:8080", "localhost.evil:8080", "[::1]", "localhost:99999",
    ] {
      #expect(!isOwn(host), "\(host ?? "none")")
    }
    #expect(RequestOrigin(host: "localhost", origin: nil, site: nil).isOwn(port: 80, machine: ""))
  }

  @Test func addressesThatAreNoneAreRefused() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    func train(_ options: String...) throws -> Program.Result {
      try Program.run(
        [
          "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<toy>", "--initializer", "cat", "--output",
          folder.path, "--steps", "1", "--device", "cpu",
        ] + options)
    }
    try Self.withSocket(port: 0) { descriptor, port in
      listen(descriptor, 1)
      let taken = try train("--serve", "\(port)")
      #expect(
        taken.code == 73 && taken.error.contains("--serve: can't listen on 127.0.0.1, port \(port)"), "\(taken.error)")
    }
    for (options, says) in [
      (["--serve", "65536"], "65536 is no port"),
      (["--serve", "0", "--serve-host", "example.org"], "'example.org' is no IP address"),
      (["--serve-host", "127.0.0.1"], "--serve-host goes with --serve"),
    ] {
      let result = try Program.run(
        [
          "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<toy>", "--initializer", "cat", "--output",
          folder.path,
        ] + options)
      #expect(result.code == 64 && result.error.contains(says), "\(result.error)")
    }
    #expect(!folder.isThere)
  }
}
