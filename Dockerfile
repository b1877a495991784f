# One image for every process of Misto: `misto ingest`, `misto rules run`, `misto keeper`, `misto board`, …
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/misto
COPY constraints.txt ./
RUN /opt/misto/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY catalogue catalogue
COPY store store
COPY ingest ingest
COPY insights insights
COPY rules rules
COPY dashboards dashboards
COPY simulators simulators
COPY misto misto
RUN /opt/misto/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.12.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home misto
COPY --from=build /opt/misto /opt/misto
ENV PATH=/opt/misto/bin:$PATH PYTHONUNBUFFERED=1
USER misto
ENTRYPOINT ["misto"]
CMD ["--help"]
