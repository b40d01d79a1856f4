import Foundation
import Tensors

extension Concept {
  /// Refuses a folder of results in which pictures lie, or that lies among them: the next run would learn from this one's
  /// curve, and `--overwrite` might take pictures away.
  ///
  /// - Throws: `UserError(.usage)` where one folder is the other or lies in it, whatever links lead there.
  public static func refuseOverlap(pictures: URL, output: URL) throws(UserError) {
    let (inner, outer) = (realComponents(pictures), realComponents(output))
    guard inner.starts(with: outer) || outer.starts(with: inner) else { return }
    let relation = inner.count == outer.count ? "is" : outer.count > inner.count ? "lies in" : "holds"
    throw UserError(
      .usage, at: .file(output), "the folder for the results \(relation) the folder of pictures, \(pictures.path)",
      remedy: "name another")
  }

  /// The names on a path from the root, links followed; what is not there yet is taken as it is written.
  private static func realComponents(_ url: URL) -> [String] {
    let components = url.absoluteURL.path.split(separator: "/").map(String.init)
    for count in stride(from: components.count, through: 0, by: -1) {
      guard let real = realpath("/" + components.prefix(count).joined(separator: "/"), nil) else { continue }
      defer { free(real) }
      var result = String(cString: real).split(separator: "/").map(String.init)
      for name in components.dropFirst(count) where name != "." {
        if name == ".." { _ = result.popLast() } else { result.append(name) }
      }
      return result
    }
    return components
  }
}
