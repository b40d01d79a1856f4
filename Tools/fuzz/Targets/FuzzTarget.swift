import Foundation
import Tensors

/// Something that reads what comes from outside, and what is done with an input of the fuzzer's.
///
/// A `UserError` is what a damaged file is to end in. Everything else that goes wrong ends the process, which libFuzzer reports:
/// a trap, another error, a message that is no line.
public struct FuzzTarget: Sendable {
  public static let all: [FuzzTarget] = [
    .safetensors, .torch, .pickle, .configuration, .tokenizer, .trace, .checkpoint, .picture, .card, .singleFile,
  ]

  public let name: String
  private let body: @Sendable (Data) throws -> Void

  init(_ name: String, _ body: @escaping @Sendable (Data) throws -> Void) {
    (self.name, self.body) = (name, body)
  }

  public func run(_ bytes: UnsafeRawBufferPointer) {
    expecting { try body(Data(bytes)) }
  }
}

/// Whether to say what each input ends in: `TI_GPU_FUZZ_TELL=1 ti-gpu-fuzz TARGET FILE`.
private let tells = getenv("TI_GPU_FUZZ_TELL") != nil

/// Runs something that may end in a `UserError` of one line, and in nothing else.
func expecting(_ body: () throws -> Void) {
  do { try body() } catch let error as UserError {
    let message = error.message
    if tells { print(message) }
    precondition(message.count < 1200 && !message.contains(where: \.isNewline), "an unclear line: \(message)")
  } catch {
    preconditionFailure("not an error for people: \(error)")
  }
}

/// A file with these bytes in the working folder, which Tools/fuzz/run puts into memory: what reads files takes them by name.
func file(_ name: String, _ bytes: Data) -> URL {
  let url = URL(fileURLWithPath: name)
  let descriptor = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
  precondition(descriptor >= 0, "the working folder can't be written into")
  defer { close(descriptor) }
  let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
  precondition(written == bytes.count, "the working folder is full")
  return url
}
