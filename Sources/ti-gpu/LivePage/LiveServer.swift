import FlyingFox
import FlyingSocks
import Foundation
import Synchronization
import Tensors
import TextualInversion

/// Serves a run's page while it trains: the page, its pictures, and three actions. Other sites' pages are refused, and an action needs
/// the token that the page carries.
final class LiveServer: HTTPHandler {
  private let live: LiveRun
  /// Drawn anew each time the program starts.
  private let token = LiveServer.secret()
  /// What the server listens on, known once it does.
  private let port = Atomic<UInt16>(0)

  init(_ live: LiveRun) { self.live = live }

  /// Begins to serve, on other threads than the caller's, until the program ends.
  ///
  /// - Returns: the page's address.
  /// - Throws: `UserError(.cannotCreate)` where the address can't be had.
  func start(_ address: ServeAddress) throws -> String {
    let server = HTTPServer(config: try address.configuration(), handler: self)
    let startup = Startup()
    Task.detached { do { try await server.run() } catch { startup.finish(.failure(error)) } }
    Task.detached {
      do {
        try await server.waitUntilListening()
        switch await server.listeningAddress {
        case .ip4(_, port: let port), .ip6(_, port: let port): startup.finish(.success(port))
        default: startup.finish(.failure(SocketError.unsupportedAddress))
        }
      } catch { startup.finish(.failure(error)) }
    }
    switch startup.wait() {
    case .success(let number):
      port.store(number, ordering: .relaxed)
      return "http://\(ServeAddress.isIPv6(address.host) ? "[\(address.host)]" : address.host):\(number)"
    case .failure(let error):
      throw UserError(
        .cannotCreate, at: .option("serve"), "can't listen on \(address.host), port \(address.port)",
        remedy: "choose another port, or 0 for any that is free", cause: error)
    }
  }

  func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
    let origin = RequestOrigin(
      host: request.headers[.host], origin: request.headers[HTTPHeader("Origin")],
      site: request.headers[HTTPHeader("Sec-Fetch-Site")])
    guard origin.isOwn(port: port.load(ordering: .relaxed)) else {
      return Self.refusal(.forbidden, "a request from elsewhere")
    }
    switch (request.method, request.path) {
    case (.GET, "/"): return page()
    case (.GET, "/live.js"): return Self.answer(ReportPage.liveScript, "text/javascript")
    case (.GET, "/content"): return try content(after: request.query["after"].flatMap { Int($0) })
    case (.GET, let path): return picture(path)
    case (.POST, let path):
      guard request.headers[HTTPHeader("X-Token")] == token else {
        return Self.refusal(.forbidden, "the page is an earlier run's: load it again")
      }
      guard let action = LiveRun.Action(rawValue: String(path.dropFirst())) else {
        return Self.refusal(.notFound, "no such action")
      }
      live.ask(action)
      return HTTPResponse(statusCode: .noContent)
    default: return Self.refusal(.methodNotAllowed, "GET, or POST for an action")
    }
  }

  private func page() -> HTTPResponse {
    guard let folder = live.folder, let run = try? RunRecord(folder), let shown = try? live.content(after: nil) else {
      return Self.answer(
        "<!doctype html><meta http-equiv=refresh content=1><link rel=icon href=data:,><title>ti-gpu</title>The run begins.",
        "text/html")
    }
    let nonce = Self.secret()
    let page = ReportPage([run], pictures: .served)
    var answer = Self.answer(
      page.livePage((shown.content, shown.revision), token: token, nonce: nonce), "text/html")
    answer.headers[HTTPHeader("Content-Security-Policy")] =
      "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; connect-src 'self'; "
      + "script-src 'nonce-\(nonce)'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return answer
  }

  private func content(after revision: Int?) throws -> HTTPResponse {
    guard let (revision, content, hasEnded) = try live.content(after: revision) else {
      return HTTPResponse(statusCode: .noContent)
    }
    var answer = Self.answer(content, "text/html")
    answer.headers[HTTPHeader("X-Revision")] = "\(revision)"
    if hasEnded { answer.headers[HTTPHeader("X-Ended")] = "yes" }
    return answer
  }

  /// A picture of the run's folders of pictures; nothing else of it is served.
  private func picture(_ path: String) -> HTTPResponse {
    let parts = path.split(separator: "/").map(String.init)
    guard let folder = live.folder, parts.count == 2, ["previews", "pictures"].contains(parts[0]),
      parts[1].hasSuffix(".png"),
      parts[1].allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-.".contains($0)) }),
      let data = try? Data(contentsOf: folder.appendingPathComponent(parts[0]).appendingPathComponent(parts[1]))
    else { return Self.refusal(.notFound, "no such page") }
    return Self.answer(data, "image/png")
  }

  private static func answer(_ text: String, _ type: String) -> HTTPResponse {
    answer(Data(text.utf8), type + "; charset=utf-8")
  }

  private static func answer(_ data: Data, _ type: String) -> HTTPResponse {
    HTTPResponse(
      statusCode: .ok,
      headers: [
        .contentType: type, .cacheControl: "no-store", HTTPHeader("X-Content-Type-Options"): "nosniff",
        HTTPHeader("Referrer-Policy"): "no-referrer", HTTPHeader("Cross-Origin-Resource-Policy"): "same-origin",
      ], body: data)
  }

  private static func refusal(_ status: HTTPStatusCode, _ reason: String) -> HTTPResponse {
    HTTPResponse(statusCode: status, headers: [.contentType: "text/plain; charset=utf-8"], body: Data(reason.utf8))
  }

  /// 128 random bits.
  private static func secret() -> String {
    (0..<2).map { _ in String(UInt64.random(in: 0...UInt64.max), radix: 16) }.joined(separator: "-")
  }
}

/// How a server's start came out, waited for by a thread that is no task's.
private final class Startup: Sendable {
  private let outcome = Mutex<Result<UInt16, any Error>?>(nil)
  private let isKnown = DispatchSemaphore(value: 0)

  /// The first outcome counts.
  func finish(_ result: Result<UInt16, any Error>) {
    outcome.withLock { $0 = $0 ?? result }
    isKnown.signal()
  }

  func wait() -> Result<UInt16, any Error> {
    isKnown.wait()
    return outcome.withLock { $0 } ?? .failure(CancellationError())
  }
}
