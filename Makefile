# make serve    set up, export the embedded demo model if it is not there, start the service
# make test     set up, run every test
# make test-without-vnni   the same as on a processor that has neither VNNI nor bfloat16 (Linux)
# make check    set up, run the linters and the type checker
# make bench    measure beside what a user would build instead, and against cores and image size
# make clients  set up other projects' packages with which the tests ask the service and read its log
# make bento    export the demo model if it is not there, pack it with what serves it into a bento
# make context  that, and the image's whole build context into build/context, for any builder
# make image    that, and the image, with Docker, Podman or Buildah, whichever answers
# make lock     resolve the packages of the image again
# make deploy-check   render every manifest and validate it
# make policies  that, and hold them against checkov's policies; it gets an environment of its own
# make clean    remove what the other targets made

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000

# BentoML's model store and the metrics of what is served stay in this folder.
export BENTOML_HOME ?= $(CURDIR)/.bentoml
# Nothing is sent to anybody.
export BENTOML_DO_NOT_TRACK := True
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The bundle that is packed, and the image it is packed into; a digest pins it for good:
# make context BASE_IMAGE=python@sha256:...
BUNDLE ?= models/demo
PACK = $(BIN)/python -m export.bento --bundle $(BUNDLE) $(if $(BASE_IMAGE),--base-image $(BASE_IMAGE))
# A folder of wheels from which the image's packages are installed, without any index:
# make image WHEELHOUSE=wheels
CONTEXT = --context build/context $(if $(WHEELHOUSE),--wheelhouse $(WHEELHOUSE))
# What builds the image: the first of these that answers.
ENGINE ?= docker podman buildah
# Of the environment, where they are set there; see deploy/README.md.
PIP = PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_NO_INDEX$(if $(WHEELHOUSE),=1)

CLIENTS := triton kserve mlserver evidently nannyml

.PHONY: serve test test-without-vnni check format bench clients bento context image lock deploy-check policies clean

serve: models/demo/manifest.json
	$(BIN)/cxr serve --port $(PORT)

# TESTS=tests/unit runs only those.
test: $(VENV)/ready
	$(BIN)/pytest $(TESTS)

# Nothing below this command sees the processor's own list of flags.
test-without-vnni: $(VENV)/ready
	mkdir -p build
	sed -E 's/ (avx512_vnni|avx_vnni|avx512_bf16|amx_[a-z0-9_]+)//g' /proc/cpuinfo > build/cpuinfo
	ONEDNN_MAX_CPU_ISA=AVX2 unshare --mount --map-root-user sh -c \
	  'mount --bind build/cpuinfo /proc/cpuinfo && exec "$$@"' sh $(BIN)/pytest $(TESTS)

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# BENCH=--quick sees in a few minutes that everything works. Nothing else should run meanwhile.
bench: models/demo/manifest.json build/peers/ready
	$(BIN)/python -m bench.peers $(BENCH) --json build/peers.json --write bench/peers
	$(BIN)/python -m bench.scaling $(BENCH) --json build/scaling.json --write bench/peers

# The peers' packages pin and bring what the project does not want.
build/peers/ready: bench/peers/requirements.txt
	$(PYTHON) -m venv build/peers
	build/peers/bin/pip install --quiet --requirement bench/peers/requirements.txt
	touch $@

# MLServer, for bench.inference_protocol.
build/mlserver/ready: bench/peers/mlserver.txt
	$(PYTHON) -m venv build/mlserver
	build/mlserver/bin/pip install --quiet --requirement $<
	touch $@

# Clients of the Open Inference Protocol, each with pins of its own; the tests skip what is not here.
clients: $(CLIENTS:%=build/clients/%/ready)

build/clients/%/ready: tests/e2e/clients/%.txt
	$(PYTHON) -m venv build/clients/$*
	build/clients/$*/bin/pip install --quiet --requirement $<
	touch $@

bento: $(BUNDLE)/manifest.json
	$(PACK)

context: $(BUNDLE)/manifest.json
	$(PACK) $(CONTEXT)

# BUILDAH_FORMAT: Podman and Buildah write images in OCI's format, which has no HEALTHCHECK.
image: $(BUNDLE)/manifest.json
	@engine=$$(for name in $(ENGINE); do $$name info >/dev/null 2>&1 && echo $$name && break; done); \
	[ -n "$$engine" ] || { \
	  echo "None of these answers here: $(ENGINE). 'make context' writes the build context for any builder."; \
	  exit 1; }; \
	packed=$$($(PACK) $(CONTEXT)) && tag=$$(echo "$$packed" | tail -n 1) && \
	BUILDAH_FORMAT=docker $$engine build --tag $$tag $(addprefix --build-arg ,$(PIP)) build/context

# torch from PyPI asks for CUDA on Linux. The image takes a CPU build, which asks for none of it, so
# those packages are left out; nvidia-ml-py is BentoML's own. One lock is for every platform: it must
# hold on each of these. On arm64 OpenVINO's wheel needs glibc 2.35, ONNX Runtime's macOS 14.
ALSO_LOCKED := aarch64-manylinux_2_35 aarch64-apple-darwin
resolved = MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip compile pyproject.toml --only-binary :all: \
	    --extra explain --extra grpc --extra node --extra traces --python-version 3.11 \
	    --python-platform $(1) --no-header --no-annotate --quiet \
	    --no-emit-index-url --no-emit-find-links $(2) \
	  | sed -E -e '/^nvidia-ml-py==/b' -e '/^(nvidia|cuda)-/d' -e '/^triton==/d' -e 's/[+]cpu//'
lock: $(VENV)/ready
	{ echo "# Packages of the image, Python 3.11, Linux on x86-64 and arm64, macOS 14 on arm64. Made by 'make lock'."; \
	  $(call resolved,x86_64-manylinux_2_28); } > deploy/requirements.lock.new
	for platform in $(ALSO_LOCKED); do \
	  $(call resolved,$$platform,--constraint deploy/requirements.lock.new) \
	  | diff -I '^#' deploy/requirements.lock.new - || exit 1; done
	mv deploy/requirements.lock.new deploy/requirements.lock

deploy-check: $(VENV)/ready
	$(BIN)/python -m bench.manifests

# checkov pins so much that it cannot share the project's environment.
policies: deploy-check
	$(PYTHON) -m venv build/checkov
	build/checkov/bin/pip install --quiet checkov==3.3.30
	for overlay in base overlays/split overlays/keda overlays/canary overlays/monitoring kserve; do \
	  $(BIN)/kubectl kustomize deploy/$$overlay > build/rendered.yaml && \
	  build/checkov/bin/checkov --file build/rendered.yaml --framework kubernetes --compact --quiet \
	    --skip-download || exit 1; done

models/demo/manifest.json: models/demo.safetensors models/demo.json | $(VENV)/ready
	$(BIN)/cxr export --weights demo
	touch $@

# The stamp is written last: a set-up that broke off is done again.
$(VENV)/ready: pyproject.toml
	@echo "Setting up $(VENV) with $(PYTHON); this downloads packages once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .bentoml build models/demo .pytest_cache .ruff_cache .mypy_cache *.egg-info
