{{/* The beginning of all objects' names. A release whose name has the chart's in it is not repeated. */}}
{{- define "dummy-fuse-csi.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- regexReplaceAll "[-.]+$" (trunc 40 $whole) "" -}}
{{- end -}}

{{- define "dummy-fuse-csi.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The labels that choose a DaemonSet's pods: (list $ "component"). They cannot change in an upgrade. */}}
{{- define "dummy-fuse-csi.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The reference of an image: (list values standard-tag). A digest says which image it is, whatever its tag. */}}
{{- define "dummy-fuse-csi.reference" -}}
{{- $image := index . 0 -}}
{{- $tag := default (index . 1) $image.tag -}}
{{ $image.repository }}:{{ $tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "dummy-fuse-csi.image" -}}
image: {{ include "dummy-fuse-csi.reference" (list .Values.image .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* The path of a unix socket has at most 107 bytes (unix(7)). The longest of this driver are that of the last name by which it registers, and its own. */}}
{{- define "dummy-fuse-csi.check" -}}
{{- range list (printf "%s/plugins_registry/%s-reg-100.sock" .Values.kubeletDir .Values.driverName) (printf "%s/plugins/%s/csi.sock" .Values.kubeletDir .Values.driverName) (printf "/run/%s/holder/holder.sock" .Values.driverName) -}}
{{- if gt (len .) 107 -}}
{{- fail (printf "driverName: the socket %s would have %d bytes, and the path of a socket has at most 107; name the driver by fewer characters" . (len .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The plugin's own folder on the node: its socket and its state. */}}
{{- define "dummy-fuse-csi.pluginDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ .Values.driverName }}
{{- end -}}

{{/* The staging paths of inline ephemeral volumes. Not below the folder kubernetes.io, which is the kubelet's own. */}}
{{- define "dummy-fuse-csi.ephemeralDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ .Values.driverName }}-ephemeral
{{- end -}}

{{/* dummy-fused's folder on the node: its socket, its records and the standby's socket. It does not outlive a boot, as the sessions do not. */}}
{{- define "dummy-fuse-csi.fusedDir" -}}
/run/{{ .Values.driverName }}
{{- end -}}

{{/* The holder's folder on the node, with its socket. */}}
{{- define "dummy-fuse-csi.holderDir" -}}
{{ include "dummy-fuse-csi.fusedDir" . }}/holder
{{- end -}}

{{/* Where the containers find the file of csi.plugin.program. */}}
{{- define "dummy-fuse-csi.programFile" -}}
/etc/dummy-fuse-csi/program.yaml
{{- end -}}

{{/* Where pods may run: (list $ values), with the priority class, node selector, affinity and tolerations of these values. */}}
{{- define "dummy-fuse-csi.scheduling" -}}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with index . 1 }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
