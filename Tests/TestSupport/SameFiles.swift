import Foundation
import Testing

/// Expects that files of two folders have the same bytes.
public func expectSameFiles(
  _ names: [String], _ a: URL, _ b: URL, _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
) throws {
  for name in names {
    let (a, b) = (a.appendingPathComponent(name), b.appendingPathComponent(name))
    #expect(
      try Data(contentsOf: a) == Data(contentsOf: b), "\(name) \(comment)", sourceLocation: sourceLocation)
  }
}
