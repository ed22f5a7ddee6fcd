"""Networks on one thread, and what running something costs."""
import time

import onnxruntime as ort


def session(graph):
    """A network of a path or of bytes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"])


def cpu_ms(work, times=15):
    """The least processor time of several runs: other load on the machine only adds to it."""
    work()
    spent = []
    for _ in range(times):
        begun = time.process_time()
        work()
        spent.append((time.process_time() - begun) * 1e3)
    return min(spent)
