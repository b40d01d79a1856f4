import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import OpenCLBackend
import Operators
import StableDiffusion
import Tensors
import TestSupport
import Testing
import TextualInversion

/// What a dry run says is what a run takes: the truth is the pool's own account of real steps.
@Suite struct MemoryPlanTests {
  enum Device: CaseIterable { case loops, oneDNN, openCLOfGPUs, openCLOfCPUs }

  static let size = StepSize(height: 64, width: 64, batch: 2)

  @Test(arguments: Device.allCases, [ElementType.float32, .float16])
  func aDryRunTakesWhatARunTakes(_ device: Device, _ precision: ElementType) throws {
    switch device {
    case .loops: try check { try CPUBackend(precision: precision, engine: .loops) }
    case .oneDNN: try check { try CPUBackend(precision: precision, engine: .oneDNN) }
    case .openCLOfGPUs, .openCLOfCPUs:
      let openCL = try TestBackends.openCLDevice()
      let form = device == .openCLOfGPUs ? KernelForm.gpu : .cpu
      guard openCL.kernelForms.contains(form) else { return }
      try check { try OpenCLBackend(device: openCL, precision: precision, kernelForm: form) }
    }
  }

  private func check<B: Backend>(_ makeBackend: () throws -> B) throws {
    let model = try StableDiffusionModel(RandomModel(.demo))
    func run(_ plan: MemoryPlan, _ size: StepSize = Self.size) throws -> (
      memory: MemoryUse, loss: Float, gradients: [HostTensor]
    ) {
      let backend = Checked(try makeBackend())
      let step = try SampleStep(model, size, keeping: plan.keeping) { _ in backend }
      let result = try step.run()
      // Buffers are settled by the first step: the second takes no more.
      let memory = backend.memory
      _ = try step.run()
      #expect(backend.memory.peakBytes == memory.peakBytes)
      return (memory, result.loss, result.gradients.sorted { $0.key < $1.key }.map(\.value))
    }
    func expectTaken(_ memory: MemoryUse, _ plan: MemoryPlan, _ what: String) {
      #expect(plan.memory.peakBytes == memory.peakBytes, "\(what)")
      #expect(plan.memory.reservedBytes == memory.reservedBytes, "\(what)")
    }
    let backend = Checked(try makeBackend())
    let all = try MemoryPlan(model, Self.size, on: backend)
    #expect(all.savings.isEmpty && all.keeping == .all)
    let whole = try run(all)
    expectTaken(whole.memory, all, "everything kept on \(backend.name)")
    #expect(backend.memory.peakBytes == 0, "a dry run takes nothing of the backend itself")

    let pair = StepSize(height: 64, width: 64, batch: 2, isGuided: true)
    let guided = try MemoryPlan(model, pair, on: backend)
    expectTaken(try run(guided, pair).memory, guided, "led away from a negative word on \(backend.name)")
    #expect(guided.memory.peakBytes > all.memory.peakBytes)

    // A budget that is short by a little, and the shortest that is enough.
    var budget = all.memory.reservedBytes
    var last = 0
    while let plan = try? MemoryPlan(model, Self.size, on: backend, budget: budget - 1) {
      #expect(plan.savings.count > last && plan.memory.reservedBytes < budget)
      let part = try run(plan)
      expectTaken(part.memory, plan, plan.line)
      #expect(part.loss == whole.loss)
      for (a, b) in zip(part.gradients, whole.gradients) { expectSameBits(a, b, plan.line) }
      (last, budget) = (plan.savings.count, plan.memory.reservedBytes - (all.memory.reservedBytes >> 4))
    }
    #expect(last > 0, "nothing was saved on \(backend.name)")
    let refusal = #expect(throws: UserError.self) { try MemoryPlan(model, Self.size, on: backend, budget: 1 << 20) }
    #expect(refusal?.kind == .usage && refusal?.message.contains("--resolution") == true)
  }
}
