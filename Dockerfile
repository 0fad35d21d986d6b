# One image for every part: what it does is the command that it is started with (see compose.yaml).
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.12-slim
COPY constraints.txt /constraints.txt
COPY --from=build /wheels /wheels
# every version is one that was tested; the wheel itself is the only package that is not asked of an index
RUN set -eu; wheel="$(ls /wheels/counterfoil-*.whl)"; \
    pip install --no-cache-dir -c /constraints.txt "${wheel}[http,postgresql,fleet,otel]"; \
    rm -rf /wheels; useradd --uid 10001 --create-home counterfoil
USER counterfoil
WORKDIR /etc/counterfoil
ENV COUNTERFOIL_CONFIG=/etc/counterfoil/counterfoil.toml COUNTERFOIL_LOG=json PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
ENTRYPOINT ["counterfoil"]
CMD ["status"]
