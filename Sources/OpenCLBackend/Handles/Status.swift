import COpenCL
import Tensors

/// Throws unless `status` is success. The error names the call and, where one is concerned, the kernel.
func check(_ status: cl_int, _ call: StaticString, kernel: String? = nil) throws(OperationError) {
  if status == CL_SUCCESS { return }
  throw failure(status, call, kernel: kernel)
}

/// The error that a status stands for.
func failure(_ status: cl_int, _ call: StaticString, kernel: String? = nil) -> OperationError {
  let code: OperationError.Code
  var hint = ""
  switch status {
  case CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY, CL_INVALID_BUFFER_SIZE: code = .outOfMemory
  case CL_OUT_OF_RESOURCES:
    // One status for three causes: the queue's next call tells a fault from a shortage.
    code = .deviceFailure
    hint = " (short of memory, a kernel that ran too long, or a fault in one)"
  case CL_INVALID_COMMAND_QUEUE, CL_DEVICE_NOT_AVAILABLE, CL_INVALID_CONTEXT: code = .deviceLost
  case CL_BUILD_PROGRAM_FAILURE, CL_COMPILER_NOT_AVAILABLE: code = .buildFailure
  default: code = .deviceFailure
  }
  let subject = kernel.map { " for \($0)" } ?? ""
  return OperationError(code, "\(call)", "\(statusName(status))\(subject)\(hint)")
}

/// The name that `cl.h` gives a status.
func statusName(_ status: cl_int) -> String {
  statusNames[status].map { "\($0) (\(status))" } ?? "status \(status)"
}

private let statusNames: [cl_int: String] = [
  -1: "CL_DEVICE_NOT_FOUND", -2: "CL_DEVICE_NOT_AVAILABLE", -3: "CL_COMPILER_NOT_AVAILABLE",
  -4: "CL_MEM_OBJECT_ALLOCATION_FAILURE", -5: "CL_OUT_OF_RESOURCES", -6: "CL_OUT_OF_HOST_MEMORY",
  -7: "CL_PROFILING_INFO_NOT_AVAILABLE", -8: "CL_MEM_COPY_OVERLAP", -11: "CL_BUILD_PROGRAM_FAILURE",
  -12: "CL_MAP_FAILURE", -13: "CL_MISALIGNED_SUB_BUFFER_OFFSET",
  -14: "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST", -15: "CL_COMPILE_PROGRAM_FAILURE",
  -16: "CL_LINKER_NOT_AVAILABLE", -17: "CL_LINK_PROGRAM_FAILURE", -19: "CL_KERNEL_ARG_INFO_NOT_AVAILABLE",
  -30: "CL_INVALID_VALUE", -31: "CL_INVALID_DEVICE_TYPE", -32: "CL_INVALID_PLATFORM", -33: "CL_INVALID_DEVICE",
  -34: "CL_INVALID_CONTEXT", -35: "CL_INVALID_QUEUE_PROPERTIES", -36: "CL_INVALID_COMMAND_QUEUE",
  -37: "CL_INVALID_HOST_PTR", -38: "CL_INVALID_MEM_OBJECT", -42: "CL_INVALID_BINARY",
  -43: "CL_INVALID_BUILD_OPTIONS", -44: "CL_INVALID_PROGRAM", -45: "CL_INVALID_PROGRAM_EXECUTABLE",
  -46: "CL_INVALID_KERNEL_NAME", -47: "CL_INVALID_KERNEL_DEFINITION", -48: "CL_INVALID_KERNEL",
  -49: "CL_INVALID_ARG_INDEX", -50: "CL_INVALID_ARG_VALUE", -51: "CL_INVALID_ARG_SIZE",
  -52: "CL_INVALID_KERNEL_ARGS", -53: "CL_INVALID_WORK_DIMENSION", -54: "CL_INVALID_WORK_GROUP_SIZE",
  -55: "CL_INVALID_WORK_ITEM_SIZE", -56: "CL_INVALID_GLOBAL_OFFSET", -57: "CL_INVALID_EVENT_WAIT_LIST",
  -58: "CL_INVALID_EVENT", -59: "CL_INVALID_OPERATION", -61: "CL_INVALID_BUFFER_SIZE",
  -63: "CL_INVALID_GLOBAL_WORK_SIZE", -1001: "CL_PLATFORM_NOT_FOUND_KHR",
]
