"""From requests to arrays and back, for REST and gRPC alike, and what guards the door.

Between a protocol and the engine everything is a signature's name and a dict of alias to array; the
checks that both protocols share stand at the top of this room. Work that grows with a request is done
by `work`, in processes of their own. Nothing here loads or runs a model.

Other rooms use `certificates`, `grpc.server`, `http.answers`, `http.connection`, `http.guard`,
`image_size`, `open_files`, `request_checks`, `rest.app`, `rest.json_text` and `tokens`.
"""
