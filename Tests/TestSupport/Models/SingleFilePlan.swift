import Foundation
import ModelFiles
import Tensors
import Testing

/// How one of the tiny models' folders becomes a single file: the plan of Tools/reference/single_file.py, which diffusers' own
/// `from_single_file` agrees with.
public struct SingleFilePlan: Decodable {
  public struct Entry: Decodable {
    let from: [String]
    let `as`: String
  }

  /// `sd1`, `sd2` or `sdxl`.
  public let family: String
  /// By the name in the single file.
  public let plan: [String: Entry]
  /// The script's digest of every tensor, as COMPONENT/NAME in diffusers' naming.
  public let sha256: [String: String]

  public init(_ model: String) throws {
    self = try Self(jsonFile: Fixtures.url("single_files/\(model).json"))
  }

  /// The single file's tensors, out of the model's folder.
  public static func tensors(
    of model: String, where isWanted: (String) -> Bool = { _ in true }
  ) throws -> [(name: String, tensor: HostTensor)] {
    let folder = try DiffusersFolder(Fixtures.url("models/\(model)"))
    var files: [String: SafetensorsFile] = [:]
    for component in folder.components {
      files[component.rawValue] = try SafetensorsFile(try #require(folder.weightFiles(component).first))
    }
    // The positions are whole numbers, a constant that no model needs.
    let plan = try SingleFilePlan(model).plan.filter { isWanted($0.key) && !$0.key.hasSuffix("position_ids") }
    return try plan.map { original, entry in
      let parts = try entry.from.map { path in
        let parts = path.split(separator: "/", maxSplits: 1).map(String.init)
        return try #require(files[parts[0]]).tensor(parts[1])
      }
      return (name: original, tensor: try made(entry.as, parts))
    }
  }

  /// What a plan's word means, written out.
  private static func made(_ way: String, _ parts: [HostTensor]) throws -> HostTensor {
    if way == "constant" { return HostTensor([], [1]) }
    let first = try #require(parts.first)
    switch way {
    case "rows":
      return HostTensor(
        Shape([parts.reduce(0) { $0 + $1.shape[0] }] + first.shape.dimensions.dropFirst()), parts.flatMap(\.values))
    case "transposed":
      let (rows, columns) = (first.shape[0], first.shape[1])
      return HostTensor(
        [columns, rows], (0..<columns).flatMap { column in (0..<rows).map { first.values[$0 * columns + column] } })
    case "pixel": return HostTensor([first.shape[0], first.shape[1], 1, 1], first.values)
    default: return first
    }
  }
}
