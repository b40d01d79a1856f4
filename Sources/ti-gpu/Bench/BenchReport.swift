/// What `ti-gpu bench --json` prints.
struct BenchReport: Encodable {
  let device: String
  let precision: String
  let modelShape: String
  let resolution: Int
  let batchSize: Int
  var ops: [OperationTiming]?
  var step: StepTiming?

  private enum CodingKeys: String, CodingKey { case device, precision, modelShape, resolution, batchSize, ops }

  /// The step's figures stand beside the others, not in an object of their own.
  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(device, forKey: .device)
    try container.encode(precision, forKey: .precision)
    try container.encode(modelShape, forKey: .modelShape)
    try container.encode(resolution, forKey: .resolution)
    try container.encode(batchSize, forKey: .batchSize)
    try container.encodeIfPresent(ops, forKey: .ops)
    try step?.encode(to: encoder)
  }
}
