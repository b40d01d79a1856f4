import Tensors
import Testing

/// The error that `body` throws, which must be a `UserError` of one readable line; nil when it throws none.
public func userError(_ body: () throws -> Void) -> UserError? {
  do {
    try body()
    return nil
  } catch let error as UserError {
    #expect(!error.message.contains("\n") && error.message.count < 700, "\(error.message)")
    return error
  } catch {
    Issue.record("not a UserError: \(error)")
    return nil
  }
}
